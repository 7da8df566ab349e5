"""One moment understood, found again, taken as it comes, and saved: `python -m examples.processor`."""

from __future__ import annotations

import tempfile

import numpy as np

from multimodal import IntegrationConfig, MultimodalInput, UnifiedMultimodalProcessor


def main() -> None:
    """A made-up picture and sound; real ones are arrays just the same."""
    dice = np.random.default_rng(0)
    picture = np.kron(dice.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((40, 40, 1), np.uint8))
    beep = np.sin(2 * np.pi * 880 * np.arange(16_000) / 16_000).astype(np.float32) / 2
    moment = MultimodalInput(text="a beep beside a carpet", image=picture, audio=beep, sample_rate=16_000)

    with UnifiedMultimodalProcessor(IntegrationConfig(enable_real_time_processing=True)) as processor:
        output = processor.process(moment)
        unified = output.unified_representation
        shares = ", ".join(f"{name} {share:.0%}" for name, share in unified.modality_contributions.items())
        print(f"one vector {tuple(unified.representation.shape)} of {shares}; coherence "
              f"{unified.coherence_metrics['coherence']:.2f}")

        processor.process([MultimodalInput(text=words) for words in ("tea is ready", "a fire alarm")], "batch")
        best = processor.retrieve_cross_modal("smoke", target_modality="text", top_k=1)[0]
        print(f"nearest to 'smoke': {best.retrieved_content!r}, cosine {best.similarity_score:.2f}")

        for words in ("one", "two", "three"):
            processor.add_real_time_input(MultimodalInput(text=words))
        print("as they came:", [result.sequence for result in processor.real_time_results()])

        with tempfile.TemporaryDirectory() as folder:
            processor.save_model(folder)
            processor.load_model(folder)
        print("cache:", processor.metrics()["cache"]["entries"], "entries; health:", processor.health()["status"])


if __name__ == "__main__":
    main()
