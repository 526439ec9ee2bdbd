"""What follows from how a server guesses tokens, and why."""

from gke_llm_inference.planning.plan import Decision
from gke_llm_inference.planning.speculation import expected_tokens, speculation_of
from gke_llm_inference.settings import Eagle3Speculation, EagleSpeculation, ServerSettings


def speculation_decisions(settings: ServerSettings) -> tuple[Decision, ...]:
    """What follows from how a server guesses, and why."""
    asked = speculation_of(settings)
    if asked is None:
        return ()
    if asked.acceptance_rate is None:
        gain = "how many guesses are right is not stated, so that no gain is"
    else:
        tokens = expected_tokens(asked.num_speculative_tokens, asked.acceptance_rate)
        gain = (
            f"with the stated acceptance of {asked.acceptance_rate:g} a sequence gets {tokens:.2f} tokens in each "
            "verified step on average"
        )
    if not isinstance(asked, EagleSpeculation | Eagle3Speculation):
        gain += "; scheduling is not asynchronous then, unless the version has that for the method"
    return (Decision("speculation", f"{asked.method}, {asked.num_speculative_tokens} guesses", gain),)
