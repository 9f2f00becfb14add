"""The yardstick: a bare FastAPI POST echo with a pydantic model, served with the settings of `ringfence serve`.

Listens on a free port and prints its address.
"""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Echo(BaseModel):
    op: str
    filename: str
    start_line: int
    end_line: int
    content: str


app = FastAPI()


@app.post("/echo")
async def echo(body: Echo) -> Echo:
    return body


if __name__ == "__main__":
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(2048)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])
