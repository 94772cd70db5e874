"""A task without documents: the worth of a text is the share of its prompt's target words that it holds."""

import numpy as np

WORDS = ["red", "blue", "green", "wool", "silk", "linen", "coat", "shirt", "dress", "warm", "light", "long"]


class ToyTask:
    """Satisfies ``ospo_agents.Task``; prompts name three words, of which the target adds a fourth."""

    def __init__(self, prompts=24):
        rng = np.random.default_rng(0)
        self.targets = {}
        self.queries = {}
        for number in range(prompts):
            chosen = rng.choice(len(WORDS), size=4, replace=False)
            words = [WORDS[index] for index in chosen]
            self.targets[f"p{number}"] = frozenset(words)
            self.queries[f"p{number}"] = " ".join(words[:3])
        self.counters = {"asked": 0, "distinct": 0, "cached": 0}
        self.calls = 0

    def prompts(self, split):
        return list(self.queries), list(self.queries.values())

    def demonstrations(self):
        return [(key, ", ".join(query.split()[:2])) for key, query in self.queries.items()]

    def texts(self):
        return [*self.queries.values(), ", ".join(WORDS)]

    def worth(self, prompt_id, text):
        found = set(text.replace(",", " ").split()) & self.targets[prompt_id]
        return len(found) / len(self.targets[prompt_id])

    def rewards(self, prompt_ids, texts):
        return np.array([self.worth(key, text) for key, text in zip(prompt_ids, texts, strict=True)])

    def scored(self, prompt_ids, texts):
        return np.array([len(text) for text in texts])

    def coalition_values(self, prompt_ids, texts, spans, coalitions):
        self.calls += 1
        self.counters["asked"] += sum(len(rows) for rows in coalitions)
        values = []
        for key, text, tiles, rows in zip(prompt_ids, texts, spans, coalitions, strict=True):
            parts = [text[start:end] for start, end in tiles]
            kept = [" ".join(p for p, keep in zip(parts, row, strict=True) if keep) for row in rows]
            values.append(np.array([self.worth(key, k) for k in kept]))
        return values
