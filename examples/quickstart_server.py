"""Serve an array, a DataFrame and a function. Stop with Ctrl-C."""

import sys

import numpy as np
import pandas as pd

import bridge

srv = bridge.Server(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5555")

srv["waveform"] = np.sin(np.linspace(0, 20, 10_000)).reshape(1000, 10)
srv["trades"] = pd.DataFrame(
    {
        "time": pd.date_range("2026-01-05 09:00", periods=6, freq="min", tz="Europe/Berlin"),
        "symbol": pd.Categorical(["ABC", "XYZ", "ABC", "ABC", "XYZ", "ABC"]),
        "price": [101.5, 55.0, 101.7, 101.4, 55.2, 102.0],
    }
)


@srv.query
def spectrum(channel: int, window: str = "hann") -> np.ndarray:
    """Return the amplitude spectrum of one channel of the waveform."""
    windows = {"hann": np.hanning, "hamming": np.hamming}
    samples = np.sin(np.linspace(0, 20, 10_000)).reshape(1000, 10)[:, channel]
    return np.abs(np.fft.rfft(samples * windows[window](len(samples))))


print(f"serving at {srv.url}", flush=True)
srv.run()
