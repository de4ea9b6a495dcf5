"""Drives MCP servers with the Python package `mcp`, as a test says.

Each line of stdin is a request, each line of stdout an answer with the same id:

    {"id", "do": "connect", "agent", "revision", "stdio": {"command", "args"} or "http": {"url", "token"},
     "listen": [uri, …]}; only where there is no handshake can one listen
    {"id", "do": "tools", "agent"}
    {"id", "do": "resources", "agent"}
    {"id", "do": "read", "agent", "uri"}
    {"id", "do": "news", "agent"}; the next that comes of what it listens to
    {"id", "do": "call", "agent", "tool", "arguments"}
    {"id", "do": "close", "agent"}

An answer has `result`, or `refusal` where the server answered with a JSON-RPC error, or `failure` where the
package raised anything else: a result that breaks the protocol or its own output schema, a connection that
ended. What the package logs as a warning comes as a line with `warning`. Requests are carried out side by side.
"""

import json
import logging
import sys
from contextlib import AsyncExitStack
from typing import Any

import anyio
import httpx2
from jsonschema.validators import Draft202012Validator, validator_for
from mcp import Client, ClientSession, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

HANDSHAKE_REVISION = "2025-11-25"
STATELESS_REVISION = "2026-07-28"
# A waiting call may be held open by the server for 50 seconds.
TIMEOUT_S = 90.0


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Tell(logging.Handler):
    """Passes on what the package warns of."""

    def emit(self, record: logging.LogRecord) -> None:
        say({"warning": f"{record.name}: {record.getMessage()}"})


def plain(model: Any) -> Any:
    """A model of the package as the JSON that went over the wire."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def outcome_of(error: BaseException) -> dict[str, Any]:
    """What an exception comes to, looking through the groups that task groups make of one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError):
        return {"refusal": plain(error.error)}
    return {"failure": f"{type(error).__name__}: {error}"}


class Agent:
    """One connection, held open by a task of its own, since its contexts must be left where they were entered."""

    def __init__(self) -> None:
        self.session: Any = None
        self.news: Any = None
        self.leave = anyio.Event()
        self.left = anyio.Event()

    async def hold(self, request: dict[str, Any], answered: anyio.Event) -> None:
        try:
            async with AsyncExitStack() as stack:
                result = await self.enter(request, stack)
                say({"id": request["id"], "result": result})
                answered.set()
                await self.leave.wait()
        except Exception as error:  # noqa: BLE001
            if answered.is_set():
                say({"warning": f"the connection ended: {outcome_of(error)}"})
            else:
                say({"id": request["id"], **outcome_of(error)})
        finally:
            answered.set()
            self.session = None
            self.left.set()

    async def enter(self, request: dict[str, Any], stack: AsyncExitStack) -> dict[str, Any]:
        if "stdio" in request:
            transport = stdio_client(StdioServerParameters(**request["stdio"]))
        else:
            headers = {"Authorization": f"Bearer {request['http']['token']}"} if request["http"].get("token") else {}
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=TIMEOUT_S))
            transport = streamable_http_client(request["http"]["url"], http_client=http)
        if request["revision"] == HANDSHAKE_REVISION:
            read, write = await stack.enter_async_context(transport)
            session = await stack.enter_async_context(ClientSession(read, write, read_timeout_seconds=TIMEOUT_S))
            told = await session.initialize()
            self.session = session
            return plain(told)
        assert request["revision"] == STATELESS_REVISION, request["revision"]
        # It asks `server/discover`, as a client does that knows both revisions.
        client = await stack.enter_async_context(Client(transport, read_timeout_seconds=TIMEOUT_S))
        self.session = client
        listens = None
        if "listen" in request:
            self.news = await stack.enter_async_context(client.listen(resource_subscriptions=request["listen"]))
            listens = self.news.honored.resource_subscriptions
        return {
            "listens": listens,
            "protocolVersion": client.protocol_version,
            "serverInfo": plain(client.server_info) if client.server_info else None,
            "capabilities": plain(client.server_capabilities),
            "instructions": client.instructions,
        }

    async def do(self, request: dict[str, Any]) -> Any:
        match request["do"]:
            case "tools":
                listed = await self.session.list_tools()
                for tool in listed.tools:
                    for schema in filter(None, (tool.input_schema, tool.output_schema)):
                        validator_for(schema, default=Draft202012Validator).check_schema(schema)
                return plain(listed)
            case "call":
                return plain(await self.session.call_tool(request["tool"], request["arguments"]))
            case "resources":
                return plain(await self.session.list_resources())
            case "read":
                return plain(await self.session.read_resource(request["uri"]))
            case "news":
                return str((await anext(self.news)).uri)
            case other:
                raise ValueError(f"the driver knows no {other}")


async def carry_out(request: dict[str, Any], agent: Agent) -> None:
    try:
        if request["do"] == "close":
            agent.leave.set()
            await agent.left.wait()
            result = None
        else:
            result = await agent.do(request)
    except Exception as error:  # noqa: BLE001
        say({"id": request["id"], **outcome_of(error)})
    else:
        say({"id": request["id"], "result": result})


async def main() -> None:
    logging.captureWarnings(True)
    logging.getLogger().addHandler(Tell(logging.WARNING))
    agents: dict[str, Agent] = {}
    async with anyio.create_task_group() as tasks:
        async for line in anyio.wrap_file(sys.stdin):
            request = json.loads(line)
            if request["do"] == "connect":
                agents[request["agent"]] = agent = Agent()
                answered = anyio.Event()
                tasks.start_soon(agent.hold, request, answered)
                await answered.wait()
            else:
                tasks.start_soon(carry_out, request, agents[request["agent"]])
        for agent in agents.values():
            agent.leave.set()


anyio.run(main)
