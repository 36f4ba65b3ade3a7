"""Ask a zbridge server, here that of quickstart_server.py, with pyzmq, numpy and json alone."""

import json
import sys

import numpy as np
import zmq

# The types that this program can use. A peer's text is looked up here; it never reaches np.dtype.
DTYPES = {"<f8": np.float64, "<f4": np.float32, "<i8": np.int64, "|b1": np.bool_}

socket = zmq.Context.instance().socket(zmq.REQ)
socket.setsockopt(zmq.RCVTIMEO, 5000)
socket.setsockopt(zmq.LINGER, 0)
socket.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5555")


def ask(**request):
    """Send one request; return the header and the buffers of its reply."""
    socket.send_json({"bridge": 1, "id": 1, **request})
    header, *buffers = socket.recv_multipart()
    header = json.loads(header)
    if "error" in header:
        raise RuntimeError(header["error"]["message"])
    return header, buffers


catalogue, _ = ask(op="list")
for entry in catalogue["entries"]:
    print(entry["name"], entry["kind"])

# waveform[:5, 3], cut out on the server
header, (samples,) = ask(op="get", name="waveform", select=[[0, 5, None], 3])
described = header["object"]
print(np.frombuffer(samples, DTYPES[described["dtype"]]).reshape(described["shape"]))

# A table comes as an Arrow IPC stream, in pieces that belong end to end.
_, pieces = ask(op="get", name="trades", select={"columns": ["price"]}, **{"as": "arrow"})
stream = b"".join(pieces)
print("an Arrow stream of", len(stream), "bytes")
socket.close()
