"""Files of rewrites as policies: stored ones, and tables of other programs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ospo_agents import AgentError
from ospo_cli._policies.resolved import Request, ResolvedPolicy, exists, make_rewrites
from ospo_cli._rewrite_files import RewriteFile, open_rewrite_file
from ospo_env import RetrievalTask, Rewrites

__all__ = ["resolve_file"]


def resolve_file(name: str, request: Request) -> ResolvedPolicy | None:
    """A file of rewrites: stored ones, or another program's table."""
    if not exists(name) or not Path(name).is_file():
        return None
    file = open_rewrite_file(Path(name))
    return _stored(file, file.content, request) if isinstance(file.content, Rewrites) else _foreign(file, request)


def _stored(file: RewriteFile, stored: Rewrites, request: Request) -> ResolvedPolicy:
    """Rewrites that this project stored, one for each prompt of the split."""

    def check(task: RetrievalTask, ids: Sequence[str]) -> None:
        file.check_data(task)
        if list(dict.fromkeys(stored.prompt_ids)) != list(ids):
            raise AgentError(
                f"{file.path}: expected rewrites of the {len(ids)} prompts of --split {request.split}, in order"
            )

    def write(
        task: RetrievalTask, ids: Sequence[str], prompts: Sequence[str], progress: Callable[[int], object]
    ) -> Rewrites:
        progress(len(ids))
        return stored

    return ResolvedPolicy(write, check=check, made_for=stored.settings, several=file.several)


def _foreign(file: RewriteFile, request: Request) -> ResolvedPolicy:
    """Rewrites of another program, for some or all prompts of the split, one or several each."""

    def write(
        task: RetrievalTask, ids: Sequence[str], prompts: Sequence[str], progress: Callable[[int], object]
    ) -> Rewrites:
        prompt_ids, texts, remark = file.complete(task, request.split, ids)
        progress(len(ids))
        return make_rewrites(str(file.path), request, task, prompt_ids, texts, {"remark": remark} if remark else None)

    return ResolvedPolicy(
        write,
        check=lambda task, ids: file.check(task, request.split),
        made_for=file.made_for(request.env),
        several=file.several,
    )
