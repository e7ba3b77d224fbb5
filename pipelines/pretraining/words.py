"""Words that the synthetic voices speak: digits, commands, and material for pseudo-random sentences."""

from __future__ import annotations

import numpy as np

DIGITS = tuple("zero one two three four five six seven eight nine ten eleven twelve twenty thirty hundred".split())

COMMANDS = tuple(
    """start stop open close raise lower pause resume reset confirm cancel repeat next previous left right up down
    forward backward faster slower louder quieter on off yes no help status report lock unlock increase decrease
    call hang transfer hold mute record play connect disconnect heat cool light lamp door valve pump motor fan belt
    robot arm gripper drill press welder conveyor line station alarm emergency clear check measure weigh label scan
    pick place move turn rotate lift drop load unload ship pack sort count inspect""".split()
)

WORDS = tuple(
    """able about above across after again against air all almost along always among and animal another answer any
    apple are area around ask autumn away baby back bad bank basket bath beach beautiful because bed before begin
    behind believe below best better between big bird black blue boat body book both bottle bottom box boy branch
    bread break breakfast bridge bright bring brother brown build burn busy butter buy cake camera can car card care
    carry case cat catch cause centre chair chance change cheap cheese chicken child choose church circle city clean
    clever clock cloud coat coffee cold collar colour come common company cook copper corner could country cover cow
    cross crowd cup cut damage dance danger dark daughter day dead deal dear decide deep desk detail different
    dinner direction dirty distance doctor dog dollar double doubt draw dream dress drink drive dry duck during dust
    each ear early earth east easy eat edge education egg either electric empty end engine enjoy enough enter equal
    even evening every example exchange exercise expect eye face fact fall false family famous far farm fat father
    favour fear feather feel few field fight figure fill film final find finger finish fire first fish flame flat
    flight floor flower fly follow food foot for foreign forest forget fork form fortune frame free fresh friend
    from front fruit full garden gate gentle get gift girl give glass goat gold good grain grandfather grass great
    green grey ground group grow guess hair half hammer hand happen happy harbour hard hat have head health hear
    heavy hello here high hill history hole home honest honey hope horse hospital hot hotel house how huge human
    hurry husband ice idea if important inside instrument iron island jacket job join journey judge juice jump keep
    kettle key kind king kitchen knee knife know ladder language large last late laugh law leaf learn leather leave
    leg lemon lesson letter library lift like lion listen little long look loose lose lost love lucky lunch machine
    magic make man many map market match matter maybe meal meaning measure meat medicine meet metal middle milk
    minute mirror mistake mixture modern moment money month moon morning mother mountain mouth music narrow nature
    near neck need needle never new news night noise north nose note nothing now number nurse object ocean office
    often oil old once onion only orange order other our outside oven over own page pain paint paper park part party
    past pencil people perhaps person photograph piano picture piece pilot pink plane plant plastic plate pleasure
    pocket point police polite poor position possible potato powder power present pretty price prison problem
    promise public pull purple purpose push queen question quick quiet quite radio rain reach ready reason red
    remember rest rice rich ride ring river road rock roof room root rough round rule run sad safe sail salt same
    sand say school science scissors sea season seat second secret see seed self sell send sentence servant shade
    shadow shake shape share sharp sheep sheet shelf shine shirt shoe shoot shop short should shoulder shout show
    sick side silver simple sing sister size skin skirt sky sleep slip slow small smell smile smoke smooth snake
    snow soap sock soft some son song soon sound soup south space speak special spoon sport spring square stamp stand
    star steam steel step still stomach stone storm story strange street string strong student study such sugar
    summer sun surprise sweet swim table take talk tall taste teach team telephone ten tent test than that the their
    then there these they thick thin thing think this thought thread throat through thumb thunder ticket tie tiger
    time tired toast together tomorrow tongue tooth top touch toward towel town toy train travel treasure tree
    trouble trousers true trust try twist uncle under understand unit until use usual valley value vegetable very
    view village visit voice wait walk wall want war warm wash watch water wave way weak wear weather week weight
    welcome well west wet what wheel when where which while white who whole why wide wife wild will win wind window
    wine winter wire wise wish with woman wood word work world worry worth would write wrong yellow yesterday young""".split()
)


def sentence(rng: np.random.Generator) -> str:
    """Draw something to say: digits (30 %), commands (30 %), or two to seven words."""
    kind = rng.random()
    if kind < 0.3:
        return " ".join(rng.choice(DIGITS, size=rng.integers(1, 5)))
    if kind < 0.6:
        return " ".join(rng.choice(COMMANDS, size=rng.integers(1, 4)))
    return " ".join(rng.choice(WORDS, size=rng.integers(2, 8)))
