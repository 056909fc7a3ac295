"""Why an image could not be built."""


class BuildError(Exception):
    """The image would not be what its lock files and sources say; the message is for the person who builds."""
