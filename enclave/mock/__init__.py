"""The mock run: an author's code on made-up rows, in the same jail, with everything it says shown to its author."""
