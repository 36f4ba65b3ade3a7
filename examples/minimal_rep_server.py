"""A server on a literal REP socket: everything but the socket is in Service.handle."""

import sys

import numpy as np
import pandas as pd
import zmq

import bridge

service = bridge.Service()
service["waveform"] = np.sin(np.linspace(0, 20, 10_000)).reshape(1000, 10)
service["trades"] = pd.DataFrame({"symbol": ["ABC", "XYZ"], "price": [101.5, 55.0]})

socket = zmq.Context.instance().socket(zmq.REP)
socket.bind(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5555")
while True:
    socket.send_multipart(service.handle(socket.recv_multipart()), copy=False)
