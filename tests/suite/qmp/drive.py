"""Gives commands to a machine through qemu.qmp as it is: the socket's path is the argument, commands come on standard input,
`[name, arguments]` in JSON on a line each, and what each came to is printed so. At the end, the events that were told."""

import asyncio
import json
import sys

from qemu.qmp import ExecuteError, QMPClient


async def main() -> None:
    client = QMPClient("test")
    events = []

    async def listen() -> None:
        async for event in client.events:
            events.append(dict(event))

    await client.connect(sys.argv[1])
    listening = asyncio.create_task(listen())
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"return": await client.execute(name, arguments or None)}
        except ExecuteError as error:
            answer = {"error": {"class": error.error_class, "desc": str(error)}}
        print(json.dumps(answer), flush=True)
    await asyncio.sleep(0.2)
    listening.cancel()
    print(json.dumps(events), flush=True)
    try:
        await client.disconnect()
    except EOFError:
        pass


asyncio.run(main())
