"""Checks that a loss of TRL's GRPO does with token advantages what the chosen credit needs. TRL is not imported."""

from collections.abc import Callable

from ospo_agents.errors import AgentError

__all__ = ["check_loss", "check_potential"]

_CONSTANT_DENOMINATOR = ("dr_grpo", "luspo")
_BY_SIGN_OF_A_SEQUENCE = ("vespo",)


def check_loss(
    loss_type: str, off_policy_mask_threshold: float | None = None, spell: Callable[[str], str] = str
) -> None:
    """Refuse what chooses by the sign of one advantage for a whole completion: tokens have advantages of both signs.

    Args:
        loss_type: TRL's name of the loss.
        off_policy_mask_threshold: TRL's bound above which completions of negative advantage are left out.
        spell: Spelling of a setting's name in messages.

    Raises:
        AgentError: The loss or the mask reads that sign.
    """
    if loss_type in _BY_SIGN_OF_A_SEQUENCE:
        raise AgentError(
            f"{spell('loss_type')} {loss_type} weights a whole completion by the sign of its one advantage, but credit "
            "gives its tokens advantages of both signs; choose another loss, for example dr_grpo"
        )
    if off_policy_mask_threshold is not None:
        raise AgentError(
            f"{spell('off_policy_mask_threshold')} leaves out whole completions by the sign of their one advantage, "
            "but credit gives their tokens advantages of both signs; leave it out"
        )


def check_potential(
    redistribution: str, solution: str, loss_type: str, kl: float, spell: Callable[[str], str] = str
) -> None:
    """Refuse what makes ``potential`` no potential (:func:`ospo_agents.advantages.potential`).

    Args:
        redistribution: Name of the redistribution; others than ``potential`` pass.
        solution: Name of the solution that gives credit.
        loss_type: TRL's name of the loss.
        kl: Weight of the KL divergence from the reference.
        spell: Spelling of a setting's name in messages.

    Raises:
        AgentError: Credit is not that of prefixes, the loss divides by the lengths of completions, or there is a KL.
    """
    if redistribution != "potential":
        return
    what = f"{spell('redistribution')} potential keeps the policy gradient only"
    if solution != "prefix_potential":
        raise AgentError(f"{what} with {spell('solution')} prefix_potential, but got {solution}")
    if loss_type not in _CONSTANT_DENOMINATOR:
        raise AgentError(
            f"{what} where the loss has a constant denominator: {spell('loss_type')} dr_grpo, but got {loss_type}"
        )
    if kl:
        raise AgentError(f"{what} without a KL: {spell('kl')} 0, but got {kl}")
