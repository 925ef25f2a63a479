"""The bare HTTP stack: Starlette on uvicorn with uvloop and httptools, which reads a body and answers fixed bytes.

python -m bench.bare BODY-FILE        prints its port
"""

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def main(body: bytes) -> None:
    async def answer(request: Request) -> Response:
        await request.body()
        return Response(body, status_code=201, media_type="application/json")

    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    app = Starlette(routes=[Route("/jobs", answer, methods=["POST"])])
    config = uvicorn.Config(app, loop="none", http="httptools", lifespan="off", log_config=None, access_log=False)
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(Path(sys.argv[1]).read_bytes()))
