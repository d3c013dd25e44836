"""Responses that come later, without a thread that waits for them."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from django.http import HttpRequest, HttpResponse

# In a request's META: the server takes Deferred.
ACCEPTED = "firstlight.deferred"

Result = TypeVar("Result")


class Deferred(HttpResponse, Generic[Result]):
    """What a view returns when its response is not known yet: `finish` makes it from the result of `future`.

    Both are looked at on the event loop of the web server. The view's thread and its database connection are free meanwhile,
    so `finish` must not use the database.
    """

    def __init__(self, future: "Future[Result]", finish: Callable[[Result], HttpResponse]) -> None:
        super().__init__()
        self.future, self.finish = future, finish


def respond_later(request: HttpRequest, future: "Future[Result]", finish: Callable[[Result], HttpResponse]) -> HttpResponse:
    """Return a response to `request` that will be `finish(future.result())`.

    Where the server does not take Deferred (Django's test client, other WSGI servers), this waits here.
    """
    return Deferred(future, finish) if ACCEPTED in request.META else finish(future.result())
