"""Frames of every length form, and the texts in them again."""

from __future__ import annotations

from jupyter_jobprogress.server.frames import text_frame, texts


def test_texts_come_out_of_joined_frames_as_they_went_in() -> None:
    messages = [letter * length for letter, length in zip("abcdü", (0, 125, 126, 65535, 65536), strict=True)]

    assert list(texts(b"".join(text_frame(message.encode()) for message in messages))) == messages
