#!/usr/bin/env python3
"""Self-made English->French parallel corpus from a template grammar (no third-party text).
usage: gen_corpus.py OUTDIR [N=60000] [SEED=7]
writes train.tsv, valid.tsv, test.tsv (en<TAB>fr); valid/test pairs never occur in train."""

import random
import sys
import os

VOW = set("aeiouhâàéèêëîïôûAEIOUHÉÈÊ")  # h: every h-noun below is an h muet


def el(w):
    return w[0] in VOW


# en, en plural, fr, fr plural, gender
NOUNS = """car cars voiture voitures f|house houses maison maisons f|cat cats chat chats m|dog dogs chien chiens m
book books livre livres m|table tables table tables f|chair chairs chaise chaises f|garden gardens jardin jardins m
flower flowers fleur fleurs f|tree trees arbre arbres m|bird birds oiseau oiseaux m|door doors porte portes f
window windows fenêtre fenêtres f|bag bags sac sacs m|shirt shirts chemise chemises f|hat hats chapeau chapeaux m
boat boats bateau bateaux m|bicycle bicycles vélo vélos m|key keys clé clés f|letter letters lettre lettres f
computer computers ordinateur ordinateurs m|horse horses cheval chevaux m|lamp lamps lampe lampes f|picture pictures image images f
box boxes boîte boîtes f|apple apples pomme pommes f|umbrella umbrellas parapluie parapluies m|coat coats manteau manteaux m"""
NOUNS = [tuple(x.split()) for l in NOUNS.splitlines() for x in l.split("|")]
PLACES = """city ville f|street rue f|school école f|hotel hôtel m|church église f|bridge pont m|museum musée m
restaurant restaurant m|station gare f|library bibliothèque f|market marché m|park parc m|beach plage f|office bureau m
airport aéroport m|hospital hôpital m|bakery boulangerie f|village village m|river rivière f|forest forêt f"""
PLACES = [tuple(x.split()) for l in PLACES.splitlines() for x in l.split("|")]
# en ms fs mp fp   (post-nominal) / en ms ms-before-vowel fs mp fp (pre-nominal)
POST = [
    tuple(x.split())
    for x in """red rouge rouge rouges rouges
blue bleu bleue bleus bleues
green vert verte verts vertes
black noir noire noirs noires
white blanc blanche blancs blanches
yellow jaune jaune jaunes jaunes
expensive cher chère chers chères
clean propre propre propres propres
modern moderne moderne modernes modernes
interesting intéressant intéressante intéressants intéressantes
empty vide vide vides vides
heavy lourd lourde lourds lourdes
wonderful merveilleux merveilleuse merveilleux merveilleuses""".splitlines()
]
PRE = [
    tuple(x.split())
    for x in """big grand grand grande grands grandes
small petit petit petite petits petites
old vieux vieil vieille vieux vieilles
new nouveau nouvel nouvelle nouveaux nouvelles
beautiful beau bel belle beaux belles
good bon bon bonne bons bonnes""".splitlines()
]
NUM = {
    2: ("two", "deux"),
    3: ("three", "trois"),
    4: ("four", "quatre"),
    5: ("five", "cinq"),
    6: ("six", "six"),
    7: ("seven", "sept"),
    8: ("eight", "huit"),
    9: ("nine", "neuf"),
    10: ("ten", "dix"),
}
NAMES = "Marie Paul Julie Thomas Sophie Lucas Emma Louis Claire Hugo Alice Antoine Nina Victor".split()
CITIES = [
    ("Paris", "Paris"),
    ("Lyon", "Lyon"),
    ("London", "Londres"),
    ("New York", "New York"),
    ("Boston", "Boston"),
    ("Chicago", "Chicago"),
    ("Montreal", "Montréal"),
    ("Geneva", "Genève"),
    ("Brussels", "Bruxelles"),
    ("Berlin", "Berlin"),
    ("Madrid", "Madrid"),
    ("Rome", "Rome"),
    ("Tokyo", "Tokyo"),
    ("Seattle", "Seattle"),
    ("Denver", "Denver"),
    ("San Francisco", "San Francisco"),
    ("Toronto", "Toronto"),
    ("Nice", "Nice"),
    ("Marseille", "Marseille"),
    ("Dublin", "Dublin"),
]
TIMES_NOW = [
    ("today", "aujourd'hui"),
    ("this morning", "ce matin"),
    ("this afternoon", "cet après-midi"),
    ("this evening", "ce soir"),
    ("now", "maintenant"),
    ("", ""),
    ("", ""),
    ("", ""),
]
TIMES_FUT = [
    ("tomorrow", "demain"),
    ("tonight", "cette nuit"),
    ("tomorrow morning", "demain matin"),
    ("next week", "la semaine prochaine"),
    ("on Monday", "lundi"),
    ("on Saturday", "samedi"),
    ("", ""),
]
DAYS = [
    ("Monday", "lundi"),
    ("Tuesday", "mardi"),
    ("Wednesday", "mercredi"),
    ("Thursday", "jeudi"),
    ("Friday", "vendredi"),
    ("Saturday", "samedi"),
    ("Sunday", "dimanche"),
]
MONTHS = [
    ("January", "janvier"),
    ("February", "février"),
    ("March", "mars"),
    ("April", "avril"),
    ("May", "mai"),
    ("June", "juin"),
    ("July", "juillet"),
    ("August", "août"),
    ("September", "septembre"),
    ("October", "octobre"),
    ("November", "novembre"),
    ("December", "décembre"),
]
PREP = [("in", "dans"), ("on", "sur"), ("under", "sous"), ("behind", "derrière"), ("in front of", "devant")]
PRON = [("I", "je", 0), ("you", "vous", 1), ("he", "il", 2), ("she", "elle", 2), ("we", "nous", 3), ("they", "ils", 4)]
# en base, en 3rd, en past | je vous il nous ils | participle | future stem(je)
VERBS = [
    ("see", "sees", "saw", "vois voyez voit voyons voient", "vu", "verr", "voir"),
    ("have", "has", "had", "ai avez a avons ont", "eu", "aur", "avoir"),
    ("buy", "buys", "bought", "achète achetez achète achetons achètent", "acheté", "achèter", "acheter"),
    ("like", "likes", "liked", "aime aimez aime aimons aiment", "aimé", "aimer", "aimer"),
    ("look for", "looks for", "looked for", "cherche cherchez cherche cherchons cherchent", "cherché", "chercher", "chercher"),
    ("find", "finds", "found", "trouve trouvez trouve trouvons trouvent", "trouvé", "trouver", "trouver"),
    ("sell", "sells", "sold", "vends vendez vend vendons vendent", "vendu", "vendr", "vendre"),
    ("take", "takes", "took", "prends prenez prend prenons prennent", "pris", "prendr", "prendre"),
    ("open", "opens", "opened", "ouvre ouvrez ouvre ouvrons ouvrent", "ouvert", "ouvrir", "ouvrir"),
    ("clean", "cleans", "cleaned", "nettoie nettoyez nettoie nettoyons nettoient", "nettoyé", "nettoier", "nettoyer"),
]
MODAL = [
    ("want to", "wants to", "veux voulez veut voulons veulent"),
    ("can", "can", "peux pouvez peut pouvons peuvent"),
    ("must", "must", "dois devez doit devons doivent"),
]
FUT_END = ["ai", "ez", "a", "ons", "ont"]
AVOIR = "ai avez a avons ont".split()
ETRE = "suis êtes est sommes sont".split()
FEEL = [
    ("happy", "heureux heureuse heureux heureux"),
    ("tired", "fatigué fatiguée fatigués fatigués"),
    ("ready", "prêt prête prêts prêts"),
    ("sick", "malade malade malades malades"),
    ("late", "en_retard en_retard en_retard en_retard"),
    ("sad", "triste triste tristes tristes"),
]

R = random.Random()


def c(xs):
    return R.choice(xs)


def cap(s):
    return s[0].upper() + s[1:]


def number(n):
    en1 = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
    ten = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
    en = "one hundred" if n == 100 else en1[n] if n < 20 else ten[n // 10] + ("-" + en1[n % 10] if n % 10 else "")
    fr1 = "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit dix-neuf".split()
    ft = {2: "vingt", 3: "trente", 4: "quarante", 5: "cinquante", 6: "soixante"}
    if n == 100:
        fr = "cent"
    elif n < 20:
        fr = fr1[n]
    elif n < 70:
        fr = ft[n // 10] + ("" if n % 10 == 0 else " et un" if n % 10 == 1 else "-" + fr1[n % 10])
    elif n < 80:
        fr = "soixante" + (" et onze" if n == 71 else "-" + fr1[n - 60])
    else:
        fr = "quatre-vingt" + ("s" if n == 80 else "-" + fr1[n - 80])
    return en, fr


def adj():
    if R.random() < 0.45:
        return None
    return ("pre", c(PRE)) if R.random() < 0.4 else ("post", c(POST))


def form(a, g, pl, vow=False):
    k, t = a
    if k == "pre":
        return (t[5] if g == "f" else t[4]) if pl else t[3] if g == "f" else (t[2] if vow else t[1])
    return (t[4] if g == "f" else t[3]) if pl else (t[2] if g == "f" else t[1])


def np(dets=("the", "a", "my", "your", "our", "this", "num"), pl=None, a="?", noun=None):
    """-> en, fr, gender, plural"""
    n = noun or c(NOUNS)
    g = n[4]
    d = c(dets)
    if d == "num":
        pl = True
    elif d == "a":
        pl = False
    elif pl is None:
        pl = R.random() < 0.3
    if d == "this":
        pass
    a = adj() if a == "?" else a
    core = n[3] if pl else n[2]
    if a and a[0] == "pre":
        body = form(a, g, pl, el(core)) + " " + core
    elif a:
        body = core + " " + form(a, g, pl)
    else:
        body = core
    v = el(body)
    if d == "num":
        k = c(list(NUM))
        en, f = NUM[k]
        fr = f + " " + body
    elif d == "the":
        en = "the"
        fr = "les " + body if pl else ("l'" + body if v else ("le " if g == "m" else "la ") + body)
    elif d == "a":
        fr = ("un " if g == "m" else "une ") + body
        en = "an" if (a[1][0] if a else n[0])[0] in "aeiou" else "a"
    elif d in ("my", "your", "our"):
        en = d
        p = {"my": ("mon", "ma", "mes"), "your": ("votre",) * 2 + ("vos",), "our": ("notre",) * 2 + ("nos",)}[d]
        fr = (p[2] if pl else p[0] if (g == "m" or v) else p[1]) + " " + body
    elif d == "this":
        en = "these" if pl else "this"
        fr = ("ces " if pl else "cette " if g == "f" else "cet " if v else "ce ") + body
    e = " ".join([en] + ([a[1][0]] if a else []) + [n[1] if pl else n[0]])
    return e, fr, g, pl


def place(prep=None):
    en, fr, g = c(PLACES)
    v = el(fr)
    the = "l'" + fr if v else ("le " if g == "m" else "la ") + fr
    de = "de l'" + fr if v else ("du " if g == "m" else "de la ") + fr
    a = "à l'" + fr if v else ("au " if g == "m" else "à la ") + fr
    return en, the, de, a, g


def join(*xs):
    return " ".join(x for x in xs if x)


def t_adj():
    e, f, g, pl = np(a=None, dets=("the", "my", "your", "our", "this"))
    a = ("post", c(POST)) if R.random() < 0.6 else ("pre", c(PRE))
    neg = R.random() < 0.2
    be = "are" if pl else "is"
    et = "sont" if pl else "est"
    if neg:
        return f"{cap(e)} {be} not {a[1][0]}.", f"{cap(f)} {'ne ' + et if not el(et) else chr(110) + chr(39) + et} pas {form(a, g, pl)}."
    return f"{cap(e)} {be} {a[1][0]}.", f"{cap(f)} {et} {form(a, g, pl)}."


def t_where():
    e, f, g, pl = np(dets=("the", "my", "your", "our"))
    be = "are" if pl else "is"
    et = "sont" if pl else "est"
    if R.random() < 0.5:
        p = c(PREP)
        e2, f2, _, _ = np(dets=("the", "my", "your"), pl=False)
        return f"{cap(e)} {be} {p[0]} {e2}.", f"{cap(f)} {et} {p[1]} {f2}."
    en, _, de, a, _ = place()
    if R.random() < 0.5:
        return f"{cap(e)} {be} near the {en}.", f"{cap(f)} {et} près {de}."
    return f"{cap(e)} {be} at the {en}.", f"{cap(f)} {et} {a}."


def subj(p, v):
    en, fr, k = p
    f = "j'" if (fr == "je" and el(v)) else fr + " "
    return f


def t_svo():
    p = c(PRON)
    v = c(VERBS)
    k = p[2]
    third = k == 2
    e, f, _, _ = np()
    r = R.random()
    if r < 0.4:
        fv = v[3].split()[k]
        return f"{cap(p[0])} {v[1] if third else v[0]} {e}.", cap(subj(p, fv)) + f"{fv} {f}."
    if r < 0.6:
        return f"{cap(p[0])} {v[2]} {e}.", cap(subj(p, AVOIR[k])) + f"{AVOIR[k]} {v[4]} {f}."
    if r < 0.8:
        fv = v[5] + FUT_END[k]
        return f"{cap(p[0])} will {v[0]} {e}.", cap(subj(p, fv)) + f"{fv} {f}."
    e, f, _, _ = np(dets=("the", "my", "your", "our", "this"))
    fv = v[3].split()[k]
    ne = "n'" if el(fv) else "ne "
    return f"{cap(p[0])} {'does' if third else 'do'} not {v[0]} {e}.", f"{cap(p[1])} {ne}{fv} pas {f}."


def t_q():
    p = c(PRON[1:])
    v = c(VERBS)
    k = p[2]
    fv = v[3].split()[k]
    e, f, _, _ = np(dets=("the", "a", "my", "this"))
    q = "Est-ce qu'" if el(p[1]) else "Est-ce que "
    return f"{'Does' if k == 2 else 'Do'} {p[0]} {v[0]} {e}?", f"{q}{p[1]} {fv} {f} ?"


def t_modal():
    p = c(PRON)
    m = c(MODAL)
    v = c(VERBS[:1] + VERBS[2:3] + VERBS[4:])
    k = p[2]
    fm = m[2].split()[k]
    t = c(TIMES_FUT)
    if R.random() < 0.3:
        en, the, _, _, _ = place()
        return cap(join(p[0], m[1] if k == 2 else m[0], "visit the", en, t[0])) + ".", cap(join(p[1], fm, "visiter", the, t[1])) + "."
    e, f, _, _ = np(dets=("the", "a", "my", "your", "this"))
    return cap(join(p[0], m[1] if k == 2 else m[0], v[0], e, t[0])) + ".", cap(join(p[1], fm, v[6], f, t[1])) + "."


def t_weather():
    ci = c(CITIES)
    t = c(TIMES_NOW)
    w = c(
        [
            ("It is sunny", "il y a du soleil"),
            ("It is raining", "il pleut"),
            ("It is snowing", "il neige"),
            ("It is windy", "il y a du vent"),
            ("It is cold", "il fait froid"),
            ("It is hot", "il fait chaud"),
            ("It is cloudy", "le temps est nuageux"),
            ("It is foggy", "il y a du brouillard"),
            ("The weather is beautiful", "il fait beau"),
            ("The weather is bad", "il fait mauvais"),
            ("The sky is clear", "le ciel est dégagé"),
            ("It is very cold", "il fait très froid"),
            ("It is very hot", "il fait très chaud"),
        ]
    )
    return join(w[0], "in " + ci[0], t[0]) + ".", cap(join(w[1], "à " + ci[1], t[1])) + "."


def t_wfut():
    ci = c(CITIES) if R.random() < 0.75 else None
    t = c(TIMES_FUT)
    w = c(
        [
            ("It will rain", "il pleuvra"),
            ("It will snow", "il neigera"),
            ("It will be sunny", "il y aura du soleil"),
            ("It will be cold", "il fera froid"),
            ("It will be hot", "il fera chaud"),
            ("It will be windy", "il y aura du vent"),
            ("It will be cloudy", "le temps sera nuageux"),
            ("The weather will be beautiful", "il fera beau"),
            ("There will be a storm", "il y aura un orage"),
            ("There will be fog", "il y aura du brouillard"),
        ]
    )
    return join(w[0], "in " + ci[0] if ci else "", t[0]) + ".", cap(join(w[1], "à " + ci[1] if ci else "", t[1])) + "."


def t_temp():
    n = R.randint(0, 110)
    ci = c(CITIES)
    return c(
        [
            lambda: (f"The temperature in {ci[0]} is {n} degrees.", f"La température à {ci[1]} est de {n} degrés."),
            lambda: (f"The temperature will drop to {n} degrees tonight.", f"La température descendra à {n} degrés cette nuit."),
            lambda: (f"The temperature will reach {n} degrees in {ci[0]} tomorrow.", f"La température atteindra {n} degrés à {ci[1]} demain."),
        ]
    )()


def t_wind():
    d = c([("north", "nord"), ("south", "sud"), ("east", "est"), ("west", "ouest"), ("northwest", "nord-ouest"), ("southeast", "sud-est")])
    n = R.randint(5, 95)
    de = "de l'" if d[1][0] in "eo" else "du "
    if R.random() < 0.6:
        return f"The wind is blowing from the {d[0]} at {n} kilometers per hour.", f"Le vent souffle {de}{d[1]} à {n} kilomètres par heure."
    a = "À l'" if d[1][0] in "eo" else "Au "
    return f"In the {d[0]}, the wind will reach {n} kilometers per hour.", f"{a}{d[1]}, le vent atteindra {n} kilomètres par heure."


def t_nws():
    s = c(
        [
            ("Sunny", "Ensoleillé"),
            ("Mostly sunny", "Plutôt ensoleillé"),
            ("Cloudy", "Nuageux"),
            ("Mostly cloudy", "Plutôt nuageux"),
            ("Partly cloudy", "Partiellement nuageux"),
            ("Clear", "Dégagé"),
            ("Rain", "Pluie"),
            ("Snow", "Neige"),
            ("Light rain", "Pluie légère"),
            ("Heavy snow", "Neige abondante"),
        ]
    )
    n = R.randint(0, 110)
    return c(
        [
            lambda: (f"{s[0]}, with a high near {n}.", f"{s[1]}, avec un maximum proche de {n}."),
            lambda: (f"{s[0]}, with a low around {n}.", f"{s[1]}, avec un minimum d'environ {n}."),
            lambda: (f"{s[0]}. The chance of rain is {min(n, 100)} percent.", f"{s[1]}. Le risque de pluie est de {min(n, 100)} pour cent."),
        ]
    )()


def t_alert():
    a = c([("Flood", "d'inondation"), ("Wind", "de vent"), ("Storm", "d'orage"), ("Snow", "de neige"), ("Heat", "de chaleur")])
    ci = c(CITIES)
    d = c(DAYS)
    k = c([("warning", "Alerte"), ("watch", "Vigilance")])
    return f"{a[0]} {k[0]} for {ci[0]} until {d[0]}.", f"{k[1]} {a[1]} pour {ci[1]} jusqu'à {d[1]}."


def t_greet():
    n = c(NAMES)
    ci = c(CITIES)
    n2 = c(NAMES)
    return c(
        [
            lambda: (f"Hello, {n}!", f"Bonjour, {n} !"),
            lambda: (f"Good evening, {n}!", f"Bonsoir, {n} !"),
            lambda: (f"Good night, {n}!", f"Bonne nuit, {n} !"),
            lambda: (f"Hello {n}, how are you today?", f"Bonjour {n}, comment allez-vous aujourd'hui ?"),
            lambda: (f"Hello, my name is {n} and I live in {ci[0]}.", f"Bonjour, je m'appelle {n} et j'habite à {ci[1]}."),
            lambda: (
                f"My friend {n} lives in {ci[0]}.",
                f"Mon ami {n} habite à {ci[1]}." if n in "Paul Thomas Lucas Louis Hugo Antoine Victor".split() else f"Mon amie {n} habite à {ci[1]}.",
            ),
            lambda: (f"Thank you very much, {n}.", f"Merci beaucoup, {n}."),
            lambda: (f"Welcome to {ci[0]}, {n}!", f"Bienvenue à {ci[1]}, {n} !"),
            lambda: (f"Goodbye, {n}, see you tomorrow!", f"Au revoir, {n}, à demain !"),
            lambda: (f"{n} and {n2} are in {ci[0]}.", f"{n} et {n2} sont à {ci[1]}."),
        ]
    )()


FIXED = [
    ("Hello!", "Bonjour !"),
    ("Good morning!", "Bonjour !"),
    ("Good evening!", "Bonsoir !"),
    ("Good night!", "Bonne nuit !"),
    ("Thank you.", "Merci."),
    ("Thank you very much.", "Merci beaucoup."),
    ("Please.", "S'il vous plaît."),
    ("Goodbye!", "Au revoir !"),
    ("See you tomorrow!", "À demain !"),
    ("How are you?", "Comment allez-vous ?"),
    ("I am fine, thank you.", "Je vais bien, merci."),
    ("What is your name?", "Comment vous appelez-vous ?"),
    ("Do you speak French?", "Parlez-vous français ?"),
    ("Do you speak English?", "Parlez-vous anglais ?"),
    ("I do not understand.", "Je ne comprends pas."),
    ("Yes, please.", "Oui, s'il vous plaît."),
    ("No, thank you.", "Non, merci."),
    ("What time is it?", "Quelle heure est-il ?"),
    ("Hello, how are you?", "Bonjour, comment allez-vous ?"),
    ("Hello, world!", "Bonjour, le monde !"),
    ("I love you.", "Je vous aime."),
    ("Where are you?", "Où êtes-vous ?"),
]


def t_fixed():
    return c(FIXED)


def t_num():
    n = R.randint(2, 100)
    en, fr = number(n)
    r = R.random()
    if r < 0.4:
        return f"The number is {en}.", f"Le nombre est {fr}."
    m = c(NOUNS)
    if n % 10 == 1 and m[4] == "f" and n not in (11, 71, 91):
        fr = fr[:-2] + "une"
    if r < 0.7:
        return f"I have {en} {m[1]}.", f"J'ai {fr} {m[3]}."
    return f"We need {en} {m[1]}.", f"Nous avons besoin de {fr} {m[3]}." if not el(fr) else f"Nous avons besoin d'{fr} {m[3]}."


def t_time():
    h = R.randint(1, 11)
    en, fr = number(h)
    hr = "une heure" if h == 1 else fr + " heures"
    k = R.random()
    if k < 0.35:
        te, tf = f"{en} o'clock", hr
    elif k < 0.6:
        te, tf = f"half past {en}", hr + " et demie"
    elif k < 0.8:
        te, tf = f"quarter past {en}", hr + " et quart"
    else:
        te, tf = f"quarter to {en}", hr + " moins le quart"
    if R.random() < 0.3:
        return f"It is {te}.", f"Il est {tf}."
    s = c([("train", "le train"), ("bus", "le bus"), ("plane", "l'avion"), ("boat", "le bateau")])
    v = c([("leaves", "part"), ("arrives", "arrive")])
    d = c(DAYS + [None] * 5)
    return f"The {s[0]} {v[0]} at {te}{' on ' + d[0] if d else ''}.", cap(f"{s[1]} {v[1]} à {tf}{' ' + d[1] if d else ''}.")


def t_date():
    d = c(DAYS)
    m = c(MONTHS)
    n = R.randint(2, 31)
    if R.random() < 0.5:
        return f"Today is {d[0]}, {m[0]} {n}.", f"Aujourd'hui, nous sommes le {d[1]} {n} {m[1]}."
    x = c([("meeting", "La réunion"), ("concert", "Le concert"), ("party", "La fête"), ("lesson", "La leçon")])
    return f"The {x[0]} is on {d[0]}, {m[0]} {n}.", f"{x[1]} est le {d[1]} {n} {m[1]}."


def t_place():
    en, the, de, a, g = place()
    d = c(DAYS)
    e2, the2, de2, a2, g2 = place()
    clo = c([("closed", "fermé"), ("open", "ouvert")])
    return c(
        [
            lambda: (f"Where is the {en}?", f"Où est {the} ?"),
            lambda: (f"The {en} is {clo[0]} on {d[0]}.", cap(f"{the} est {clo[1]}{'e' if g == 'f' else ''} le {d[1]}.")),
            lambda: (f"The {en} is near the {e2}.", cap(f"{the} est près {de2}.")),
            lambda: (f"How can I go to the {en}?", f"Comment puis-je aller {a} ?"),
            lambda: (f"We are going to the {en} on {d[0]}.", f"Nous allons {a} {d[1]}."),
            lambda: (f"I am at the {en} with {(n := c(NAMES))}.", f"Je suis {a} avec {n}."),
        ]
    )()


def t_cost():
    e, f, g, pl = np(dets=("the", "this"))
    return f"How much {'do' if pl else 'does'} {e} cost?", f"Combien {'coûtent' if pl else 'coûte'} {f} ?"


def t_feel():
    p = c(PRON)
    k = p[2]
    a = c(FEEL)
    fs = a[1].replace("_", " ") if "_" in a[1] else a[1]
    f = a[1].split()
    g = f[1] if p[1] == "elle" else f[2] if k in (3, 4) else f[0]
    be = {"I": "am", "you": "are", "we": "are", "they": "are"}.get(p[0], "is")
    t = c(TIMES_NOW)
    adv = c([("", ""), ("very ", "très "), ("", "")]) if a[0] != "late" else ("", "")
    if R.random() < 0.3:
        fe = ETRE[k]
        ne = "n'" if el(fe) else "ne "
        return cap(join(p[0], be, "not", a[0], t[0])) + ".", cap(join(p[1], ne + fe, "pas", g.replace("_", " "), t[1])) + "."
    return cap(join(p[0], be, adv[0] + a[0], t[0])) + ".", cap(join(p[1], ETRE[k], adv[1] + g.replace("_", " "), t[1])) + "."


def t_and():
    e, f, _, _ = np(dets=("the", "my"), a=None)
    e2, f2, _, _ = np(dets=("the", "my"), a=None)
    p = c(PREP)
    e3, f3, _, _ = np(dets=("the",), pl=False, a=None)
    return f"{cap(e)} and {e2} are {p[0]} {e3}.", f"{cap(f)} et {f2} sont {p[1]} {f3}."


T = [
    (t_adj, 10),
    (t_where, 10),
    (t_svo, 20),
    (t_q, 7),
    (t_modal, 10),
    (t_weather, 7),
    (t_wfut, 5),
    (t_temp, 4),
    (t_wind, 3),
    (t_nws, 4),
    (t_alert, 2),
    (t_greet, 5),
    (t_fixed, 1.5),
    (t_num, 6),
    (t_time, 4),
    (t_date, 4),
    (t_place, 5),
    (t_cost, 3),
    (t_feel, 4),
    (t_and, 4),
]


def main():
    out = sys.argv[1]
    N = int(sys.argv[2]) if len(sys.argv) > 2 else 60000
    R.seed(int(sys.argv[3]) if len(sys.argv) > 3 else 7)
    os.makedirs(out, exist_ok=True)
    fs, ws = zip(*T)
    pairs = {}
    conflicts = 0
    for _ in range(N * 3):
        e, f = R.choices(fs, ws)[0]()
        if e in pairs and pairs[e] != f:
            conflicts += 1
            continue
        pairs[e] = f
        if len(pairs) >= N:
            break
    fixed = dict(FIXED)
    items = [(e, f) for e, f in pairs.items() if e not in fixed]
    R.shuffle(items)
    test, valid, train = items[:1000], items[1000:1500], items[1500:] + FIXED * 8
    # 6 % of the training pairs once more without the final full stop (people type that way)
    train += [(e[:-1], f[:-1]) for e, f in train if e[-1] == "." and R.random() < 0.06]
    R.shuffle(train)
    for n, d in (("train", train), ("valid", valid), ("test", test)):
        with open(f"{out}/{n}.tsv", "w", encoding="utf-8") as h:
            h.writelines(f"{e}\t{f}\n" for e, f in d)
    print(f"pairs {len(pairs)} train {len(train)} valid {len(valid)} test {len(test)} conflicts {conflicts}")


if __name__ == "__main__":
    main()
