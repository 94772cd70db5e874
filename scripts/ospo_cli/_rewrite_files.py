"""Files of rewrites, stored by this project or written by another program: one reader for all programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from envs_data.custom.rewrites import RewriteTable, read_rewrite_table
from ospo_agents import AgentError
from ospo_cli._run_file import check_fields
from ospo_env import RetrievalTask, Rewrites, read_rewrites
from ospo_env.evaluation.foreign_rewrites import MatchedRewrites, match_rewrites
from ospo_env.evaluation.rewrites import is_stored
from ospo_env.registration import ENVIRONMENTS
from ospo_env.text import token_spans

__all__ = ["RewriteFile", "open_rewrite_file"]

_COMPOSE = "append"  # behind the query, so that credit is relative to the raw query


@dataclass(frozen=True)
class RewriteFile:
    """A file of rewrites that is free of faults.

    Attributes:
        path: The file.
        content: Rewrites with the settings that they were written for, or another program's table.
    """

    path: Path
    content: Rewrites | RewriteTable

    def made_for(self, env_id: str) -> Mapping[str, Any]:
        """Settings of the task for the rewrites; a table's are sent behind the query, and no word of them is cut.

        Args:
            env_id: The environment, whose cap holds where it cuts nothing.
        """
        if isinstance(self.content, Rewrites):
            return self.content.settings
        longest = max(len(token_spans(text)) for text in self.content.rows["text"])
        usual = next((one.max_words for one in ENVIRONMENTS if one.env_id == env_id), 0)
        return {"compose": _COMPOSE, **({"max_words": longest} if longest > usual else {})}

    @property
    def several(self) -> bool:
        """Whether a query has several rewrites."""
        if isinstance(self.content, RewriteTable):
            return self.content.several
        return len(set(self.content.prompt_ids)) < len(self.content.prompt_ids)

    def check(self, task: RetrievalTask, split: str | None) -> None:
        """Raise what :meth:`match` raises."""
        self.match(task, split)

    def check_data(self, task: RetrievalTask) -> None:
        """Raise :class:`AgentError` if the rewrites are stored ones of another data set."""
        if isinstance(self.content, Rewrites) and self.content.fingerprint != task.data.fingerprint:
            raise AgentError(
                f"{self.path}: expected rewrites of the data {task.data.fingerprint[:16]}; they are of "
                f"{self.content.fingerprint[:16]}; name the directory that they were made on with --data"
            )

    def match(self, task: RetrievalTask, split: str | None) -> MatchedRewrites:
        """The rewrites of the queries of a split, or of all.

        Raises:
            AgentError: The rewrites are stored ones of another data set.
            TaskError: A query is unknown, or none of the split has a rewrite.
        """
        if isinstance(self.content, RewriteTable):
            return match_rewrites(self.content, task.data, split)
        self.check_data(task)
        lines = pl.int_range(2, len(self.content.texts) + 2, dtype=pl.Int64, eager=True)
        columns = {"row": lines, "query": list(self.content.prompt_ids), "text": list(self.content.texts)}
        return match_rewrites(RewriteTable(self.path, "query_id", pl.DataFrame(columns)), task.data, split)

    def complete(self, task: RetrievalTask, split: str, ids: Sequence[str]) -> tuple[list[str], list[str], str]:
        """Rewrites of all prompts of a split: the raw query where the file has none.

        Args:
            task: The task.
            split: The split.
            ids: The ids of its prompts, in order.

        Returns:
            Ids, in order, those of a prompt with several rewrites several times; texts; and a sentence on what the file
            lacks, is not used of it, or is averaged, without a full stop; empty if there is nothing to say.
        """
        matched = self.match(task, split)
        raw = dict(zip(matched.without, task.raw_rewrites(matched.without), strict=True))
        texts_of: dict[str, list[str]] = {prompt_id: [text] for prompt_id, text in raw.items()}
        for prompt_id, text in zip(matched.prompt_ids, matched.texts, strict=True):
            texts_of.setdefault(prompt_id, []).append(text)
        pairs = [(prompt_id, text) for prompt_id in ids for text in texts_of[prompt_id]]
        remarks = []
        if raw:
            remarks.append(f"{len(raw):,} of {len(ids):,} queries have no rewrite and are sent as they are")
        if len(pairs) > len(ids):
            remarks.append("a query with several rewrites has their mean")
        if matched.elsewhere:
            remarks.append(f"{matched.elsewhere:,} rewrites are of queries of other splits and not used")
        return [prompt_id for prompt_id, _ in pairs], [text for _, text in pairs], "; ".join(remarks)

    def free_queries(self) -> tuple[list[str], list[str]]:
        """Texts of queries and their rewrites, of queries that no data set has.

        Raises:
            AgentError: The file names queries by id.
        """
        if not isinstance(self.content, RewriteTable) or self.content.named_by == "query_id":
            raise AgentError(f"--free: expected texts of queries, in a column query; {self.path} names them by id")
        return self.content.rows["query"].to_list(), self.content.rows["text"].to_list()


def open_rewrite_file(path: Path) -> RewriteFile:
    """Read and check a file of rewrites.

    Raises:
        DataError: It cannot be read, or contains errors.
        TaskError: It is a file of stored rewrites with errors.
        AgentError: A note of stored rewrites is of another type.
    """
    if not is_stored(path):
        return RewriteFile(path, read_rewrite_table(path))
    stored = read_rewrites(path)
    texts = {"stage": str | None, "trained_on": str | None, "policy_digest": str, "remark": str}
    check_fields(stored.notes, {}, path, {**texts, "malformed": int, "completions_cut": int})
    return RewriteFile(path, stored)
