"""Who gets each window while a video is watched: people, programs, a log, and whom to alarm."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from framemix.errors import FramemixError
from framemix.inference.alarm import Alarm
from framemix.inference.live import LivePrediction
from framemix.inference.log import AppendRow, appended
from framemix.inference.messages import (
    Message,
    Send,
    alarm_message,
    command_sender,
    messenger,
    webhook_sender,
)
from framemix.inference.output import live_columns, live_line, live_record, live_row
from framemix.jobs.terminal import print_text

Listener = Callable[[LivePrediction, Alarm], None]


def alarm_senders(command: str | None, webhook: str | None) -> dict[str, Send]:
    """Return who passes alarms on, by what errors call them. Raises FramemixError for bad ones."""
    senders = {}
    if command is not None:
        senders["--exec"] = command_sender(command)
    if webhook is not None:
        send, parts = webhook_sender(webhook), urlsplit(webhook)
        # The rest of an address may be a secret.
        senders[f"--webhook {parts.scheme}://{parts.netloc}"] = send
    return senders


@contextmanager
def live_listeners(
    classes: Sequence[str],
    watched: str | None,
    source: str,
    *,
    as_json: bool,
    log: Path | None,
    senders: Mapping[str, Send],
) -> Iterator[list[Listener]]:
    """Yield whom to call with each window and the alarm as it is then, beginning with stdout.

    Raises FramemixError where there are senders but no class to watch for, or the log cannot be
    appended to.
    """
    if senders and watched is None:
        raise FramemixError(
            f"{' and '.join(senders)}: no class to watch for; allowed with --alarm CLASS, one of "
            f"{', '.join(classes)}"
        )
    with ExitStack() as stack:
        listeners = [_json(classes) if as_json else _line(classes)]
        if log is not None:
            listeners.append(
                _log(stack.enter_context(appended(log, live_columns(classes))), classes)
            )
        for name, send in senders.items():
            put = stack.enter_context(messenger(name, send))
            listeners.append(_on_change(put, str(watched), source))
        yield listeners


def _line(classes: Sequence[str]) -> Listener:
    return lambda seen, alarm: print_text(live_line(seen, classes, alarm))


def _json(classes: Sequence[str]) -> Listener:
    return lambda seen, alarm: print(json.dumps(live_record(seen, classes, alarm)), flush=True)


def _log(append: AppendRow, classes: Sequence[str]) -> Listener:
    return lambda seen, alarm: append(live_row(live_record(seen, classes, alarm)))


def _on_change(put: Callable[[Message], None], watched: str, source: str) -> Listener:
    def listen(seen: LivePrediction, alarm: Alarm) -> None:
        if alarm.changed:
            put(alarm_message(alarm, watched, source, seen.seconds))

    return listen
