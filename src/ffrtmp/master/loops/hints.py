"""What other masters changed: at once where they say so, and by a look from time to time."""

from ffrtmp.master.context import Master
from ffrtmp.store import interface


async def apply(master: Master, *, hint: interface.Hint) -> None:
    """Wakes who would have been woken had it happened here."""
    dispatcher = master.dispatcher
    if hint.everything:
        await refresh(master)
        dispatcher.wake_all()
        master.sweep_soon.set()
    for follow in hint.follows:
        dispatcher.follow(follow.job_id, follow.attempts, seconds=follow.seconds)
    if hint.nodes:
        for node_id in hint.nodes:
            master.classes.drop_node(node_id)
            master.auth.forget(node_id)
        await dispatcher.classes_changed()
    if any(master.classes.requires(class_id) is None for class_id in hint.ready) and await master.classes.reload():
        await dispatcher.classes_changed()
    dispatcher.ready(hint.ready)
    dispatcher.command(hint.commands | hint.nodes)
    if hint.events or hint.everything:
        master.events.notify()


async def refresh(master: Master) -> None:
    """Classes, nodes and credentials, as they are in the store now."""
    changed = await master.classes.reload()
    if master.settings.postgres:
        changed = master.classes.refresh(await master.store.nodes()) or changed
        master.auth.forget_all()
    if changed:
        await master.dispatcher.classes_changed()
