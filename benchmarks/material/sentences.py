"""Sentences as they are said in rooms, and questions that ask for them in other words."""

from __future__ import annotations

from typing import NamedTuple


class Said(NamedTuple):
    """A sentence, questions that it answers, and questions that only come near it."""

    sentence: str
    questions: tuple[str, ...]
    near: tuple[str, ...] = ()


SENTENCES = (
    Said("Dinner is ready, please come to the table.", ("the meal is served", "food is ready"),
         ("a restaurant", "a refrigerator")),
    Said("I left my keys somewhere in the kitchen.", ("lost keys", "someone cannot find the keys"),
         ("a door slamming", "a kitchen knife")),
    Said("The meeting is moved to three o'clock on Thursday.", ("rescheduling an appointment", "when is the meeting")),
    Said("Could you turn down the music, I am on the phone.", ("the music is too loud", "asking for quiet"),
         ("a violin", "a telephone")),
    Said("It will rain all afternoon, take an umbrella.", ("weather forecast", "bad weather today"),
         ("a sunny day", "snow on the mountains")),
    Said("The cat has knocked over the vase again.", ("the pet broke something", "a broken vase"),
         ("a dog barking", "a crow")),
    Said("We need more milk and bread from the shop.", ("shopping list", "buying groceries"),
         ("a cow", "a glass of wine")),
    Said("The train to the city is twenty minutes late.", ("a delayed train", "public transport delay"),
         ("an airplane", "a school bus")),
    Said("Happy birthday, blow out the candles!", ("a birthday party", "celebrating a birthday"),
         ("a wedding", "a lit candle")),
    Said("The printer is out of paper again.", ("office equipment problem", "the printer does not work"),
         ("a laptop", "a telephone ringing")),
    Said("Please fasten your seat belts, we are about to land.", ("an airplane landing", "announcement on a flight"),
         ("a helicopter", "a red car")),
    Said("My back hurts, I should see a doctor.", ("someone is in pain", "medical complaint"),
         ("a hospital bed", "someone coughing")),
    Said("The battery is almost empty, where is the charger?", ("low battery", "looking for a charger")),
    Said("Our team won the match by two goals.", ("football result", "a victory in sports"),
         ("a tennis racket", "a crowd cheering")),
    Said("Somebody is at the door, can you open it?", ("a visitor arrived", "someone is knocking"),
         ("a doorbell", "a house")),
    Said("Mind the step, the floor is still wet.", ("slippery floor", "a warning about the floor"),
         ("a broom", "a staircase")),
    Said("I have watered the tomatoes in the garden.", ("gardening", "watering plants"),
         ("a flower", "a lawn mower")),
    Said("The children are asleep, please be quiet.", ("kids are sleeping", "do not make noise"),
         ("a baby crying", "a school bus")),
    Said("Let us meet at the station at noon.", ("a meeting point", "arranging to meet")),
    Said("The soup needs a little more salt.", ("cooking advice", "seasoning the food"),
         ("a pizza", "a frying pan")),
    Said("We have run out of money this month.", ("financial trouble", "no money left")),
    Said("The old bridge is closed for repairs.", ("road works", "the bridge cannot be used"),
         ("a river", "a lighthouse")),
    Said("She plays the piano every evening.", ("practising an instrument", "making music"),
         ("a guitar", "a drum")),
    Said("There is smoke coming out of the oven!", ("fire danger in the kitchen", "something is burning"),
         ("a fire truck", "a microwave")),
    Said("Please send me the report before Friday.", ("a deadline for a document", "work to be delivered")),
    Said("The bus driver would not wait for us.", ("missed the bus", "unfriendly driver"),
         ("a train", "a motorcycle")),
    Said("I forgot my password and cannot log in.", ("login problem", "lost password")),
    Said("The museum opens at ten on Sundays.", ("opening hours", "when can we visit the museum"),
         ("a statue", "a church")),
    Said("Our flight was cancelled because of the storm.", ("cancelled flight", "travel disruption"),
         ("thunder", "a bird")),
    Said("The baby has learned to walk.", ("a child's first steps", "toddler walking"),
         ("a dog running", "laughter")),
    Said("Turn left at the traffic light, then straight on.", ("giving directions", "how to get there"),
         ("a car horn", "a police siren")),
    Said("This wine is from my uncle's vineyard.", ("talking about wine", "where the drink comes from"),
         ("a beer glass", "a tractor")),
    Said("The dog wants to go for a walk.", ("taking the dog out", "the pet needs exercise"),
         ("a cat", "a horse running")),
    Said("I am sorry that I shouted at you.", ("an apology", "saying sorry")),
    Said("The computer crashed and I lost my work.", ("computer trouble", "data was lost"),
         ("a typewriter", "a mouse")),
    Said("Tea is ready in the kitchen.", ("a hot drink is prepared", "come for tea"),
         ("a teapot", "espresso")),
    Said("We saw whales from the boat this morning.", ("watching sea animals", "a boat trip"),
         ("a goldfish", "a submarine")),
    Said("The rent goes up in January.", ("housing costs", "paying more for the flat")),
    Said("The windmill has stood here for three hundred years.", ("an old mill", "history of a building"),
         ("a helicopter", "a waterfall")),
    Said("The rocket lifts off in ten seconds.", ("a launch countdown", "space flight"),
         ("fireworks", "a fighter jet")),
)
