"""The values of `train_model`: the family, the data, the new model's name and the time."""

from __future__ import annotations

from chains.tuning.grammar import synonyms, verbatim, words
from chains.tuning.values import Values, amount, fresh_name

DURATIONS = (  # minutes, and how a person says them
    (30, "half an hour"), (60, "an hour"), (60, "one hour"), (15, "a quarter of an hour"), (90, "an hour and a half"),
    (90, "1.5 hours"), (120, "two hours"), (120, "2 hours"), (180, "three hours"), (240, "4 hours"), (1, "a minute"),
    (1, "60 seconds"), (2, "a couple of minutes"), (60, "1 hour"), (60, "1 h"), (60, "a full hour"),
    (60, "one whole hour"), (30, "half an hour"), (30, "a half hour"), (30, "half hour"), (30, "0.5 hours"),
    (45, "three quarters of an hour"), (75, "an hour and a quarter"), (90, "one and a half hours"),
    (90, "an hour and thirty minutes"), (150, "two and a half hours"), (180, "3 hours"), (180, "3 h"), (120, "2h"),
    (240, "four hours"), (300, "five hours"), (360, "six hours"), (480, "8 hours"), (600, "ten hours"),
    (1, "one minute"), (1, "a single minute"), (0.5, "half a minute"), (0.5, "30 seconds"), (1.5, "90 seconds"),
    (1.5, "a minute and a half"), (2, "120 seconds"), (2.5, "two and a half minutes"), (2.5, "2.5 minutes"),
    (3.5, "three and a half minutes"), (7.5, "7.5 minutes"), (12, "a dozen minutes"),
)  # fmt: skip


class TrainingValues(Values):
    """What a request to train a model may mention."""

    slot_minutes = amount("minutes", 1, 2, 3, 4, 7, 8, 10, 12, 15, 20, 25, 30, 40, 45, 60, 90, 120)

    def slot_duration(self) -> str:
        """A time with its unit, in minutes for the tool."""
        if self.rng.random() < 0.45:
            return f"{self.slot_minutes()} {self.rng.choice(['minutes', 'minutes', 'min', 'mins'])}"
        value, said = self.rng.choice(DURATIONS)
        self.put("minutes", value)
        return said

    def slot_family(self) -> str:
        """A family with its article, by ear: "an LSTM", "a MADE"."""
        said = self.slot_familyname()
        return f"{'an' if said[0] in 'RLHM' and said.isupper() and said[:2] != 'MA' else 'a'} {said}"

    def slot_familyname(self) -> str:
        table = synonyms("families")
        family = self.rng.choice([f for f in table if f != "hybrid"])
        self.put("family", family)
        return self.rng.choice(table[family])

    def slot_data(self) -> str:
        value = self.rng.choice(words("datas"))
        if self.rng.random() < 0.55:
            name = fresh_name(self.rng)
            files = (f"{name}.txt", f"{name}.zip", f"{name}.csv", f"{name}/", f"data/{name}", f"upload-{name}")
            value = self.rng.choice([*files, self.image_id()])
        self.put("data", value)
        return verbatim(value)

    def slot_name(self) -> str:
        value = self.rng.choice(words("newnames")) if self.rng.random() < 0.4 else fresh_name(self.rng)
        self.put("name", value)
        return verbatim(value)
