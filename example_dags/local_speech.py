"""Speech from text by espeak-ng (``pip install espeakng-loader``), put into a storage of your own.

A stand-in that runs on the worker and costs nothing. For a cloud service, change `speak` alone.
"""

from __future__ import annotations

import ctypes
import io
import wave

import espeakng_loader
from airflow.sdk import ObjectStoragePath

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: the sound goes to the callback before espeak_Synth returns
_UTF8 = 1  # espeakCHARS_UTF8
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def say(text: str, *, voice: str, path: str) -> str:
    """Store the speech under ``path``, and return that path: the operators take it as it is, and sign it themselves."""
    ObjectStoragePath(path).write_bytes(speak(text, voice))
    return path


def speak(text: str, voice: str) -> bytes:
    """Return a WAV of the text. Here goes the call of a cloud text-to-speech service.

    :param voice: a language, with a variant if you like: ``de``, ``en-us``, ``en-us+f3``.
    """
    espeak = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = espeak.espeak_Initialize(_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
    if rate <= 0:
        raise RuntimeError(f"espeak-ng did not start: {rate}")
    try:
        return _as_wav(_samples(espeak, text, voice), rate)
    finally:
        espeak.espeak_Terminate()


def _samples(espeak: ctypes.CDLL, text: str, voice: str) -> bytes:
    samples = bytearray()

    def keep(chunk: ctypes._Pointer[ctypes.c_short] | None, count: int, _events: int | None) -> int:
        if chunk and count > 0:
            samples.extend(ctypes.string_at(chunk, 2 * count))
        return 0

    if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {voice!r}")
    data, callback = text.encode(), _Callback(keep)
    espeak.espeak_SetSynthCallback(callback)
    if espeak.espeak_Synth(data, len(data) + 1, 0, 0, 0, _UTF8, None, None) != 0 or not samples:
        raise ValueError(f"espeak-ng made no sound of {text!r}")
    return bytes(samples)


def _as_wav(samples: bytes, rate: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(samples)
    return buffer.getvalue()
