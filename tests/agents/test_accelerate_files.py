"""The configurations of docs/scaling.md, as accelerate reads them."""

import inspect
import re

import accelerate.utils.dataclasses as plugins
from accelerate.commands.config.config_args import load_config_from_file

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
    read = inspect.getsource(plugins)
    for name in fsdp.fsdp_config:
        assert name.upper().removeprefix("FSDP_") in read, name
    assert {"zero_stage", "zero3_init_flag", "zero3_save_16bit_model"} <= set(deepspeed.deepspeed_config)
    assert "FSDP_NO_SUCH_FIELD".removeprefix("FSDP_") not in read
