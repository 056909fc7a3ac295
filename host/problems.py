"""The one shape of every error that the gateway answers with.

Runs in: host.   Believes: nothing.   Spec: §8.1.

`{"error": {"code": "kebab-code", "message": "...", "hint": "..."}}`: the code is for scripts, the rest for people.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

_BY_STATUS = {404: "not-found", 405: "method-not-allowed"}


class Problem(Exception):
    """Something that the caller is told; `status` is the HTTP status."""

    def __init__(self, status: int, code: str, message: str, *, hint: str = "") -> None:
        """Keep the parts apart, so that they print apart."""
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint

    def body(self) -> dict[str, Any]:
        """The JSON object that goes out."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


def unreadable(code: str, message: str) -> Problem:
    """A document that is not in the form it claims."""
    return Problem(422, code, message)


def not_found(what: str) -> Problem:
    """It is not there, or it is not the caller's: one answer for both, so that nobody can probe."""
    return Problem(404, "not-found", f"there is no such {what} that you may see")


def forbidden(message: str) -> Problem:
    """The caller is known and may not do this."""
    return Problem(403, "forbidden", message)


def conflict(code: str, message: str, *, hint: str = "") -> Problem:
    """What is asked does not fit what is there."""
    return Problem(409, code, message, hint=hint)


def unavailable() -> Problem:
    """The database does not answer: send it again, since every call may be sent again."""
    return Problem(503, "store-unavailable", "the gateway's database does not answer", hint="send it again in a moment")


def install(app: FastAPI) -> None:
    """Make every error of `app` take the one shape."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def answer(problem: Problem) -> JSONResponse:
    """A problem as it goes out."""
    return JSONResponse(problem.body(), status_code=problem.status)


def _problem(_: Request, error: Exception) -> JSONResponse:
    return answer(error if isinstance(error, Problem) else internal())


def _invalid(_: Request, error: Exception) -> JSONResponse:
    places = [".".join(str(part) for part in e["loc"]) for e in getattr(error, "errors", list)()]
    return answer(Problem(422, "bad-parameter", f"not as documented: {', '.join(places)}"))


def _http(_: Request, error: Exception) -> JSONResponse:
    status = getattr(error, "status_code", 500)
    return answer(Problem(status, _BY_STATUS.get(status, "http-error"), "the gateway has no such call"))


def internal() -> Problem:
    """A failure of ours: nothing of the cause, which may quote what another party sent."""
    return Problem(500, "internal", "the gateway failed", hint="the operator finds the kind of failure in its log")
