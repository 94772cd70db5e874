"""Log-probabilities and entropies in one pass: values and gradients of the definition, whatever the precision."""

import pytest
import torch

from ospo_agents.log_probabilities import _ROWS, log_probabilities


def drawn(rows, vocabulary, dtype, seed=0):
    """Logits, tokens, and weights of a loss."""
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(rows, vocabulary, generator=generator)
    chosen = torch.randint(vocabulary, (rows,), generator=generator)
    return logits.to(dtype), chosen, torch.randn(rows, generator=generator)


def by_definition(logits, chosen, temperature):
    distribution = torch.log_softmax(logits.double() / temperature, dim=-1)
    entropy = -(distribution.exp() * distribution).sum(dim=-1)
    return distribution.gather(1, chosen[:, None])[:, 0], entropy


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("rows", [0, 1, _ROWS, 2 * _ROWS + 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_of_the_definition(rows, temperature, dtype):
    logits, chosen, weight = drawn(rows, 700, dtype)
    own, other = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    log_probs, entropy = log_probabilities(own, chosen, temperature)
    expected, expected_entropy = by_definition(other, chosen, temperature)
    assert log_probs.dtype == entropy.dtype == torch.float32
    torch.testing.assert_close(log_probs.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy.double(), expected_entropy, rtol=1e-5, atol=1e-5)
    (log_probs * weight).sum().backward()
    (expected * weight).sum().backward()
    assert own.grad.dtype == dtype
    torch.testing.assert_close(own.grad, other.grad, rtol=1e-5 if dtype is torch.float32 else 1e-2, atol=1e-6)
    if rows > 1:  # the control: the gradient of other weights is another
        log_probabilities(third := logits.clone().requires_grad_(), chosen, temperature)[0].sum().backward()
        assert (third.grad - own.grad).abs().max() > 0.1


@pytest.mark.parametrize("vocabulary", [700, 49_152])
def test_autocast_changes_nothing(vocabulary):
    """Autocast puts some functions in bfloat16; all that is inside has float32."""
    logits, chosen, _ = drawn(40, vocabulary, torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        log_probs, entropy = log_probabilities(logits, chosen)
    expected, expected_entropy = by_definition(logits, chosen, 1.0)
    torch.testing.assert_close(log_probs.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy.double(), expected_entropy, rtol=1e-5, atol=2e-5)


def test_the_entropy_has_no_gradient_and_the_logits_stay_as_they_are():
    logits, chosen, _ = drawn(20, 50, torch.float32)
    before = logits.clone()
    _, entropy = log_probabilities(logits.requires_grad_(), chosen, 0.5)
    assert not entropy.requires_grad
    torch.testing.assert_close(logits.detach(), before, rtol=0, atol=0)
    with torch.no_grad():
        assert not log_probabilities(logits, chosen)[0].requires_grad


def test_large_logits_do_not_overflow():
    logits = torch.tensor([[3e4, 0.0, -3e4], [-3e4, -3e4, -3e4]])
    log_probs, entropy = log_probabilities(logits, torch.tensor([0, 1]))
    torch.testing.assert_close(log_probs, -torch.tensor([0.0, 3.0]).clamp(min=1).log())
    torch.testing.assert_close(entropy, torch.tensor([0.0, 3.0]).clamp(min=1).log())
