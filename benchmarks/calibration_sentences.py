"""Sentences as they are said in rooms, and questions that ask for them in other words."""

from __future__ import annotations

from typing import NamedTuple


class Said(NamedTuple):
    sentence: str
    questions: tuple[str, ...]


SENTENCES = (
    Said("Dinner is ready, please come to the table.", ("the meal is served", "food is ready")),
    Said("I left my keys somewhere in the kitchen.", ("lost keys", "someone cannot find the keys")),
    Said("The meeting is moved to three o'clock on Thursday.", ("rescheduling an appointment", "when is the meeting")),
    Said("Could you turn down the music, I am on the phone.", ("the music is too loud", "asking for quiet")),
    Said("It will rain all afternoon, take an umbrella.", ("weather forecast", "bad weather today")),
    Said("The cat has knocked over the vase again.", ("the pet broke something", "a broken vase")),
    Said("We need more milk and bread from the shop.", ("shopping list", "buying groceries")),
    Said("The train to the city is twenty minutes late.", ("a delayed train", "public transport delay")),
    Said("Happy birthday, blow out the candles!", ("a birthday party", "celebrating a birthday")),
    Said("The printer is out of paper again.", ("office equipment problem", "the printer does not work")),
    Said("Please fasten your seat belts, we are about to land.", ("an airplane landing", "announcement on a flight")),
    Said("My back hurts, I should see a doctor.", ("someone is in pain", "medical complaint")),
    Said("The battery is almost empty, where is the charger?", ("low battery", "looking for a charger")),
    Said("Our team won the match by two goals.", ("football result", "a victory in sports")),
    Said("Somebody is at the door, can you open it?", ("a visitor arrived", "someone is knocking")),
    Said("Mind the step, the floor is still wet.", ("slippery floor", "a warning about the floor")),
    Said("I have watered the tomatoes in the garden.", ("gardening", "watering plants")),
    Said("The children are asleep, please be quiet.", ("kids are sleeping", "do not make noise")),
    Said("Let us meet at the station at noon.", ("a meeting point", "arranging to meet")),
    Said("The soup needs a little more salt.", ("cooking advice", "seasoning the food")),
    Said("We have run out of money this month.", ("financial trouble", "no money left")),
    Said("The old bridge is closed for repairs.", ("road works", "the bridge cannot be used")),
    Said("She plays the piano every evening.", ("practising an instrument", "making music")),
    Said("There is smoke coming out of the oven!", ("fire danger in the kitchen", "something is burning")),
    Said("Please send me the report before Friday.", ("a deadline for a document", "work to be delivered")),
    Said("The bus driver would not wait for us.", ("missed the bus", "unfriendly driver")),
    Said("I forgot my password and cannot log in.", ("login problem", "lost password")),
    Said("The museum opens at ten on Sundays.", ("opening hours", "when can we visit the museum")),
    Said("Our flight was cancelled because of the storm.", ("cancelled flight", "travel disruption")),
    Said("The baby has learned to walk.", ("a child's first steps", "toddler walking")),
    Said("Turn left at the traffic light, then straight on.", ("giving directions", "how to get there")),
    Said("This wine is from my uncle's vineyard.", ("talking about wine", "where the drink comes from")),
    Said("The dog wants to go for a walk.", ("taking the dog out", "the pet needs exercise")),
    Said("I am sorry that I shouted at you.", ("an apology", "saying sorry")),
    Said("The computer crashed and I lost my work.", ("computer trouble", "data was lost")),
    Said("Tea is ready in the kitchen.", ("a hot drink is prepared", "come for tea")),
    Said("We saw whales from the boat this morning.", ("watching sea animals", "a boat trip")),
    Said("The rent goes up in January.", ("housing costs", "paying more for the flat")),
    Said("The windmill has stood here for three hundred years.", ("an old mill", "history of a building")),
    Said("The rocket lifts off in ten seconds.", ("a launch countdown", "space flight")),
)
