"""Wyscout v2's codes: periods, kinds and details of events, tags, and the leagues of the published data set.

Source: eventid2name.csv and tags2name.csv of Pappalardo et al. 2019 (CC BY 4.0).
"""

from collections.abc import Mapping
from typing import Literal

PERIODS = {"1H": 1, "2H": 2, "E1": 3, "E2": 4, "P": 5}
LEAGUES = {  # names of the data set's competitions and their codes in the ratings
    "ENG-Premier League": "E0",
    "GER-Bundesliga": "D1",
    "ITA-Serie A": "I1",
    "ESP-La Liga": "SP1",
    "FRA-Ligue 1": "F1",
}

GOAL, OWN_GOAL, ON_TARGET_ZONES, BLOCKED, ACCURATE, INACCURATE = 101, 102, range(1201, 1210), 2101, 1801, 1802
CARDS: Mapping[int, Literal["yellow", "second_yellow", "red"]] = {1701: "red", 1702: "yellow", 1703: "second_yellow"}
DUEL, FOUL, SET_PIECE, INTERRUPTION, PASS, SAVE, SHOT = 1, 2, 3, 5, 8, 9, 10
FREE_KICK_SHOT, PENALTY = 33, 35

KINDS = {
    1: "Duel",
    2: "Foul",
    3: "Free Kick",
    4: "Goalkeeper leaving line",
    5: "Interruption",
    6: "Offside",
    7: "Others on the ball",
    8: "Pass",
    9: "Save attempt",
    10: "Shot",
}
DETAILS = {
    10: "Air duel",
    11: "Ground attacking duel",
    12: "Ground defending duel",
    13: "Ground loose ball duel",
    20: "Foul",
    21: "Hand foul",
    22: "Late card foul",
    23: "Out of game foul",
    24: "Protest",
    25: "Simulation",
    26: "Time lost foul",
    27: "Violent Foul",
    30: "Corner",
    31: "Free Kick",
    32: "Free kick cross",
    33: "Free kick shot",
    34: "Goal kick",
    35: "Penalty",
    36: "Throw in",
    40: "Goalkeeper leaving line",
    50: "Ball out of the field",
    51: "Whistle",
    70: "Acceleration",
    71: "Clearance",
    72: "Touch",
    80: "Cross",
    81: "Hand pass",
    82: "Head pass",
    83: "High pass",
    84: "Launch",
    85: "Simple pass",
    86: "Smart pass",
    90: "Reflexes",
    91: "Save attempt",
}
ACTIONS = {
    1: "duel",
    2: "foul",
    4: "keeper",
    5: "interruption",
    6: "offside",
    7: "touch",
    8: "pass",
    9: "save",
    10: "shot",
}
DETAILED_ACTIONS = {
    30: "corner",
    31: "free_kick",
    32: "free_kick",
    33: "shot",
    34: "goal_kick",
    35: "shot",
    36: "throw_in",
    50: "out",
    51: "whistle",
    70: "carry",
    71: "clearance",
}
TAGS = {
    101: "goal",
    102: "own_goal",
    201: "opportunity",
    301: "assist",
    302: "key_pass",
    401: "left_foot",
    402: "right_foot",
    403: "head_or_body",
    501: "free_space_right",
    502: "free_space_left",
    503: "take_on_left",
    504: "take_on_right",
    601: "anticipated",
    602: "anticipation",
    701: "lost",
    702: "neutral",
    703: "won",
    801: "high",
    901: "through",
    1001: "fair_play",
    1101: "direct",
    1102: "indirect",
    1301: "feint",
    1302: "missed_ball",
    1401: "interception",
    1601: "sliding_tackle",
    1701: "red_card",
    1702: "yellow_card",
    1703: "second_yellow_card",
    1801: "accurate",
    1802: "not_accurate",
    1901: "counter_attack",
    2001: "dangerous_ball_lost",
    2101: "blocked",
    **{1201 + i: f"goal_{zone}" for i, zone in enumerate(("gb", "gbr", "gc", "gl", "glb", "gr", "gt", "gtl", "gtr"))},
    **{1210 + i: f"out_{zone}" for i, zone in enumerate(("br", "l", "lb", "r", "t", "tl", "tr"))},
    **{1217 + i: f"post_{zone}" for i, zone in enumerate(("br", "l", "lb", "r", "t", "tl", "tr"))},
}
KIND_CODES = {name: code for code, name in KINDS.items()}
DETAIL_CODES = {name: code for code, name in DETAILS.items()}
