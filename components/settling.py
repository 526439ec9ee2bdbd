"""Keeps large stacks fast: the SDK's own wait at the end of a program is quadratic in what is outstanding."""

import asyncio
import inspect

from pulumi.runtime.settings import SETTINGS


async def settle() -> None:
    """Wait for everything that the program has started, all at once; use it as `pulumi.run(settle)`.

    The SDK waits as well, afterwards, and reports failures then. But it takes up its whole list of outstanding
    outputs again for each that completes, which in a stack of hundreds of servers outweighs everything else.

    After a failure there is no waiting: what depends on a resource that was not registered never completes.

    Its twin in `gke_llm_inference.preview.child` does the same for a program that is previewed and does not settle
    itself; that module runs in any program's environment, and depends on nothing but the SDK.
    """
    own = asyncio.current_task()
    while True:
        # Only Python's coroutines: the tasks of gRPC's callback server, which serves transforms, never end.
        outstanding = {task for task in asyncio.all_tasks() if task is not own and inspect.iscoroutine(task.get_coro())}
        if not outstanding or SETTINGS.rpc_manager.unhandled_exception is not None:
            return
        done, _ = await asyncio.wait(outstanding, return_when=asyncio.FIRST_EXCEPTION)
        if any(task.cancelled() or task.exception() is not None for task in done):
            return
