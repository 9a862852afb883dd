"""A small long mapping and a small visits mapping, with a good row for each."""

LONG = {
    "name": "labs",
    "time_unit": "d",
    "index": {"event": "admission", "at": "zero"},
    "split_key": "labs",
    "pseudonymise": "none",
    "variables": [
        {"name": "glucose", "unit": "mg/dL", "plausible": [10, 2000]},
        {"name": "creatinine", "unit": "mg/dL", "plausible": [0.1, 30], "transform": "log"},
        {"name": "temperature", "unit": "Cel", "plausible": [25, 45]},
        {"name": "volume", "unit": "mL"},
    ],
    "tables": [
        {
            "layout": "long",
            "subject": "id",
            "time": {"column": "day", "unit": "d"},
            "code": "test",
            "value": "value",
            "unit": "unit",
            "missing": ["."],
            "units": {"mgdl": "mg/dL"},
            "variables": [
                {"variable": "glucose", "codes": ["GLU", "GLUC"], "molar_mass": 180.156},
                {"variable": "creatinine", "codes": ["CREA"], "molar_mass": 113.12},
                {"variable": "temperature", "codes": ["TEMP"]},
                {"variable": "volume", "codes": ["VOL"]},
            ],
        }
    ],
}

VISITS = {
    "name": "clinic",
    "time_unit": "d",
    "index": {"event": "enrolment", "at": "zero"},
    "split_key": "clinic",
    "pseudonymise": "none",
    "variables": [
        {"name": "glucose", "unit": "mg/dL", "plausible": [10, 2000]},
        {"name": "protein", "unit": "g/L", "plausible": [0, 200]},
    ],
    "treatments": [
        {"name": "drug", "unit": "mg/d", "kind": "infusion"},
        {"name": "arm", "unit": "1", "kind": "setting"},
        {"name": "shot", "unit": "mg", "kind": "bolus", "plausible": [0, 1000]},
    ],
    "statics": [{"name": "age", "unit": "a", "plausible": [0, 120]}, {"name": "sex", "levels": ["f", "m"]}],
    "tables": [
        {
            "layout": "visits",
            "subject": "id",
            "time": {"column": "day", "unit": "d"},
            "missing": ["NA"],
            "variables": [
                {"variable": "glucose", "column": "glu", "unit": "mg/dL"},
                {"variable": "protein", "column": "prot", "unit": "g/L", "values": {"neg": 0}},
            ],
            "treatments": [
                {"treatment": "drug", "column": "rate", "unit": "mg/h", "stop": {"column": "until", "unit": "d"}},
                {
                    "treatment": "arm",
                    "column": "arm",
                    "values": {"A": 1, "P": 0},
                    "unit": "1",
                    "start": "index",
                    "stop": "never",
                },
                {"treatment": "shot", "column": "shot", "unit": "g"},
            ],
            "statics": [
                {"static": "age", "column": "age", "unit": "a"},
                {"static": "sex", "column": "sex", "levels": {"F": "f", "M": "m"}},
            ],
        }
    ],
}

LONG_HEADER = "id,day,test,value,unit\n"
VISITS_HEADER = "id,day,glu,prot,rate,until,arm,shot,age,sex\n"
GOOD_LONG = "007,0,GLU,90,mg/dL\n"
GOOD_VISIT = "007,0,90,70,,,,,,\n"
