"""Fetch from the server of quickstart_server.py."""

import sys

import bridge

with bridge.connect(sys.argv[1] if len(sys.argv) > 1 else None) as b:
    print(b)

    waveform = b["waveform"]
    print(waveform.shape, waveform.dtype)
    print(waveform[::250, 3])

    trades = b["trades"]
    print(trades["price"].mean())
    print(trades.select(["time", "price"]).filter([("symbol", "==", "ABC")]).head(2).to_pandas())

    print(b.call("spectrum", channel=3).argmax())

    try:
        b.read("wavefrom")
    except KeyError as exc:
        print(exc)
