"""The configurations of docs/scaling.md, as accelerate reads them."""

import re

from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

from paths import ROOT


def configurations(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/scaling.md").read_text(), re.DOTALL)
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block)
        yield load_config_from_file(str(path))


def test_fsdp_and_deepspeed_are_read_and_no_field_is_unknown(tmp_path):
    fsdp, deepspeed = configurations(tmp_path)
    assert [one.distributed_type.value for one in (fsdp, deepspeed)] == ["FSDP", "DEEPSPEED"]
    assert fsdp.fsdp_config["fsdp_version"] == 2
    fields = {action.dest for action in launch_command_parser()._actions}
    assert set(fsdp.fsdp_config) <= fields
    assert set(deepspeed.deepspeed_config) <= fields
    assert not {"fsdp_state", "fsdp_wrap", "zero_stages"} & fields
