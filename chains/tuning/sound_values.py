"""The values of the tools that take time: music (keys, bars, melodies), sounds and videos."""

from __future__ import annotations

from chains.tuning import grammar
from chains.tuning.grammar import synonyms, words
from chains.tuning.values import Values, amount, spoken

DRUMS = {"kick", "snare", "hi-hat", "clap", "tom", "cymbal", "cowbell", "rimshot"}  # nobody wants them drawn


class SoundValues(Values):
    """What a request for music, a harmony, a sound or a video may mention."""

    # music

    slot_music = spoken("musics")
    slot_bars = amount("bars", 4, 6, 8, 10, 12, 16, 16, 20, 24, 32, 48, 64)

    def slot_key(self) -> str:
        tone = self.rng.choice("CDEFGAB") + self.rng.choice(["", "", "", "", " flat", " sharp", "b", "#"])
        value = f"{tone} {self.rng.choice(['major', 'minor'])}"
        self.put("key", value)
        return grammar.safe(value)

    def slot_anykey(self) -> str:
        """A key as the tool lists it, in a person's words: "c minor", "the key of C minor"."""
        return self.rng.choice(["{}", "{}", "the key of {}", "{} if you can", "good old {}"]).format(self.slot_key())

    def slot_melody(self) -> str:
        value = self.rng.choice(words("melodies"))
        if self.rng.random() < 0.75:
            marks = self.rng.choice([("", "", "", "#"), ("", "", "b"), ("",)])
            lengths = self.rng.choice([("",), ("", "", "", "/2"), ("", "/2", "/4")])
            octave = self.rng.choice([3, 4, 4, 5])
            notes = [
                f"{self.rng.choice('CDEFGAB')}{self.rng.choice(marks)}{octave + self.rng.choice([0, 0, 0, 1])}"
                f"{self.rng.choice(lengths)}"
                for _ in range(self.rng.randint(3, 12))
            ]
            value = " ".join(notes)
        self.put("melody", value)
        return grammar.safe(value)

    # sounds

    def slot_sound(self) -> str:
        """One or several sounds: "a kick sample", "four dull snares", "some bells"."""
        item = grammar.noun(self._kind_of_sound(0.6))
        look = f"{self.rng.choice(words('sound looks'))} " if self.rng.random() < 0.16 else ""
        luck = self.rng.random()
        if luck < 0.42:
            said = item.singular(self.rng, look)
            return said if said.endswith("sound") else said + self.rng.choice(["", "", " sound", " sample", " hit"])
        if luck < 0.8:
            bare = item.one.removesuffix(" sound")
            things = [item.many, item.many, f"{bare} sounds", f"{bare} samples", f"{bare} hits"]
            return f"{self.count(self.rng.choice([8, 16, 64]))[1]} {look}{self.rng.choice(things)}"
        return self.rng.choice([f"some {look}{item.many}", item.one, item.one, f"{look}{item.one}"])

    def slot_soundbare(self) -> str:
        """A kind of sound and nothing else: "kick"."""
        return self._kind_of_sound(1.0)

    def slot_soundmany(self) -> str:
        return grammar.noun(self.slot_soundbare()).many

    def _kind_of_sound(self, chance: float) -> str:
        """A thing that could be drawn as well is called a sound, with this probability: "bell sound"."""
        table = synonyms("sounds")
        label = self.rng.choice(list(table))
        self.put("kind", label)
        said = self.rng.choice(table[label])
        return said if label in DRUMS or self.rng.random() > chance else f"{said} sound"

    # videos

    def slot_video(self) -> str:
        base = self.rng.choice(words("videos"))
        if self.rng.random() < 0.75:
            return f"{base} {self.rng.choice(['of', 'of', 'of', 'with', 'showing'])} {self.slot_vsubject()}"
        return base

    def slot_vsubject(self) -> str:
        luck = self.rng.random()
        if luck < 0.45:
            value = self.rng.choice(words("vsubjects"))
        else:
            value = self.rng.choice(words(self.rng.choice(["unknown", "nouns"]))).partition("/")[0]
            if luck < 0.8:
                value = f"{self.rng.choice(words('motions'))} {value}"
        self.put("subject", value)
        bare = value.endswith(("s", "fire", "snow", "water", "seven", "rain", "smoke")) and not value.endswith("ss")
        return value if bare else f"{grammar.article(value)} {value}"

    def slot_vsubject2(self) -> str:
        """A subject that is taken back in the same breath."""
        said = self.slot_vsubject()
        del self.args["subject"]
        return said

    def slot_vbare(self) -> str:
        """The subject without its article."""
        self.slot_vsubject()
        return str(self.args["subject"])
