"""verl's advantages are OSPOTrainer's; verl's own modules where it is installed (``make integrations``)."""

import importlib
import os
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ospo_agents import AgentError
from ospo_agents.advantages import make_redistribution
from ospo_agents.integrations.crediting import Crediting
from ospo_agents.integrations.token_rewards import CARRIED, token_rewards
from ospo_agents.integrations.verl import (
    AGENT_LOOP_YAML,
    TOKEN_REWARDS,
    advantage_estimator,
    register_estimator,
    reward_manager,
    rows,
)
from paths import ROOT
from stored_rollouts import FORMAT, stored_rollouts


@pytest.fixture(scope="module", params=["group", "none"])
def stored(request, tmp_path_factory):
    return request.param, stored_rollouts(tmp_path_factory.mktemp("run"), scale_rewards=request.param)


def padded(written, width):
    """Rows (B, width) with zeros behind them, as verl pads."""
    places = np.zeros((len(written), width), dtype=np.float32)
    for place, row in zip(places, written, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(places)


def batch(rollouts, written):
    width = rollouts.mask.shape[1]
    mask = torch.from_numpy(rollouts.mask.astype(np.int64))
    uids = np.array([f"uid-{number}" for number in rollouts.group], dtype=object)
    return {"token_level_rewards": padded(written, width), "response_mask": mask, "index": uids}


def config(scale):
    return SimpleNamespace(norm_adv_by_std_in_grpo=scale == "group", use_kl_in_reward=False)


@pytest.mark.parametrize("name", CARRIED)
def test_advantages_are_those_of_the_trainer(stored, name):
    scale, rollouts = stored
    written = [token_rewards(one) for one in rollouts.completions]
    advantages, returns = advantage_estimator(name)(**batch(rollouts, written), config=config(scale))
    expected = rollouts.advantages(make_redistribution(name))
    np.testing.assert_allclose(advantages.numpy(), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(advantages, returns)
    assert advantages.dtype == torch.float32


def test_what_changes_rewards_is_refused(stored):
    _, rollouts = stored
    arguments = batch(rollouts, [token_rewards(one) for one in rollouts.completions])
    with pytest.raises(AgentError, match="use_kl_in_reward changes the rewards that tell credit"):
        advantage_estimator()(**arguments, config=SimpleNamespace(use_kl_in_reward=True))
    with pytest.raises(AgentError, match="expected the uid of each rollout"):
        advantage_estimator()(arguments["token_level_rewards"], arguments["response_mask"])
    with pytest.raises(AgentError, match="redistribution tempo reads what rewards of tokens do not carry"):
        advantage_estimator("tempo")
    scores = [np.eye(1, len(one.token_ids), len(one.token_ids) - 1)[0] for one in rollouts.completions]
    with pytest.raises(AgentError, match="expected a credit or a code at each token"):
        advantage_estimator()(**batch(rollouts, scores))  # a reward manager and an agent loop of verl's own


def test_rows_name_their_prompt(stored):
    _, rollouts = stored
    first, *others = rows(rollouts.task, FORMAT)
    assert first["extra_info"] == {"prompt_id": "p0"}
    assert first["prompt"] == [{"role": "user", "content": rollouts.task.queries["p0"]}]
    assert len(others) == len(rollouts.task.queries) - 1


def test_the_entry_point_and_the_agent_loop_name_modules_that_there_are():
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["verl.plugins"]
    names = [*entries.values(), AGENT_LOOP_YAML.split("_target_: ")[1].strip().rpartition(".")[0]]
    assert all(importlib.util.find_spec(name) for name in names)
    assert not importlib.util.find_spec("ospo_agents.integrations.no_such_module")


@pytest.fixture(scope="module")
def verl():
    """verl's own modules."""
    pytest.importorskip("verl", reason="verl is not installed; make integrations")
    from tensordict import TensorDict
    from verl import DataProto
    from verl.trainer.ppo import core_algos, ray_trainer

    return SimpleNamespace(data=DataProto, tensors=TensorDict, core=core_algos, trainer=ray_trainer)


def item_of(verl, prompt_id, ids, width):
    """One rollout as verl's agent loop hands it to the reward manager."""
    tokens = torch.zeros(1, width, dtype=torch.int64)
    tokens[0, : len(ids)] = torch.tensor(ids)
    attention = torch.cat([torch.ones(1, 3, dtype=torch.int64), (torch.arange(width)[None] < len(ids)).long()], dim=1)
    fields = {"prompts": torch.ones(1, 3, dtype=torch.int64), "responses": tokens, "attention_mask": attention}
    information = np.array([{"prompt_id": prompt_id}], dtype=object)
    return verl.data(batch=verl.tensors(fields, batch_size=1), non_tensor_batch={"extra_info": information})


def test_reward_manager_agent_loop_and_estimator(verl, stored):
    """From verl's reward manager through its agent loop's output to its computation of advantages."""
    from omegaconf import OmegaConf
    from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput
    from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

    from ospo_agents.integrations.verl_agent_loop import CreditedAgentLoop

    scale, rollouts = stored
    manager = reward_manager(lambda: Crediting(rollouts.task, FORMAT, solution="shapley"))(
        OmegaConf.create({}), rollouts.tokenizer, None, reward_router_address=None, reward_model_tokenizer=None
    )
    width = rollouts.mask.shape[1]
    written = []
    for prompt_id, ids in zip(rollouts.prompt_ids, rollouts.completion_ids, strict=True):

        async def run(self, ids=ids, **_):
            return AgentLoopOutput(
                prompt_ids=[1], response_ids=ids, response_mask=[1] * len(ids), metrics=AgentLoopMetrics()
            )

        async def loop(run=run):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(SingleTurnAgentLoop, "run", run)
                return await CreditedAgentLoop.run(object.__new__(CreditedAgentLoop))

        output = manager.loop.run_until_complete(loop())
        with pytest.raises(AgentError, match="the reward manager wrote none"):
            output.as_dict()
        score = manager.loop.run_until_complete(manager.run_single(item_of(verl, prompt_id, ids, width)))
        output.reward_score = score["reward_score"]
        output.extra_fields["reward_extra_info"] = score["reward_extra_info"]
        fields = output.as_dict()
        assert fields["rm_scores"].shape == fields["responses"].shape
        assert TOKEN_REWARDS not in fields["extra_fields"]["reward_extra_info"]
        written.append(fields["rm_scores"].numpy())
    name = f"ospo-{scale}"
    register_estimator(name)
    fields = batch(rollouts, written)
    data = verl.data(
        batch=verl.tensors({key: fields[key] for key in ("token_level_rewards", "response_mask")}, batch_size=8),
        non_tensor_batch={"uid": fields["index"]},
    )
    algorithm = OmegaConf.create({"use_kl_in_reward": False, "norm_adv_by_std_in_grpo": scale == "group"})
    data = verl.trainer.compute_advantage(data, name, config=algorithm)
    expected = rollouts.advantages(make_redistribution("additive"))
    np.testing.assert_allclose(data.batch["advantages"].numpy(), expected, rtol=1e-6, atol=1e-6)


def test_the_plugin_registers_the_estimator(verl, tmp_path):
    """In a process of its own, with the project's entry points, and without them."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["verl.plugins"]
    installed = tmp_path / "ospo_plugin-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: ospo-plugin\nVersion: 1\n")
    lines = "\n".join(f"{name} = {module}" for name, module in entries.items())
    (installed / "entry_points.txt").write_text(f"[verl.plugins]\n{lines}\n")
    program = "import verl; from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY as all; print('ospo' in all)"
    for policy, registered in (("auto", "True"), ("none", "False")):
        path = os.pathsep.join([str(tmp_path), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path, "VERL_USE_EXTERNAL_PLUGINS": policy}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split()[-1] == registered
