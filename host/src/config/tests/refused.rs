//! What a wrong file is told: each mistake with its place and what is allowed.

use super::*;

#[test]
fn each_wrong_key_is_named_with_its_place_and_what_is_allowed() {
    let allowed = "a bearer token has letters, digits and -._~+/ only, with = at the end (make one by: openssl rand -hex 32)";
    let sources = "{ from_env = \"VARIABLE\" } or { from_file = \"path\" }";
    for (text, message) in [
        // Keys.
        ("[plugin.weather]\nconcurency = 4", "2:1: unknown key \"concurency\" in [plugin.weather]; did you mean \"concurrency\"?"),
        ("listne = \"x\"", "1:1: unknown key \"listne\" at the top level; did you mean \"listen\"?"),
        ("[plugin.w]\ntime-out = \"1s\"", "2:1: unknown key \"time-out\" in [plugin.w]; did you mean \"timeout\"?"),
        (
            "[http]\nmax_body = \"8MiB\"\nmax_bodies = \"4MiB\"",
            "3:14: \"max_bodies\" in [http]: 4MiB is not allowed; it must be 8MiB to 1TiB; one body of max_body has to fit",
        ),
        ("max_body = 4096", "1:1: unknown key \"max_body\" at the top level; it belongs in [http]"),
        (
            "concurrency = 1",
            "1:1: unknown key \"concurrency\" at the top level; it belongs in [plugin.NAME], or at the top level of a sidecar",
        ),
        ("[auth]\nlisten = 1", "2:1: unknown key \"listen\" in [auth]; it belongs at the top level of toolbay.toml"),
        ("[telemetry]\ncolour = 1", "2:1: unknown key \"colour\" in [telemetry]; known keys are format, log"),
        (
            "[plugin.my.weather]\nmemory = 1",
            "1:12: unknown key \"weather\" in [plugin.my]; a plugin's name with dots in it needs quotes: [plugin.\"my.weather\"]",
        ),
        (
            "[plugin.Weather]",
            "1:9: plugin name \"Weather\" is not allowed: 1 to 64 of a-z, 0-9, '-', '_' and '.', starting with a letter or a digit, without '__'",
        ),
        (
            "[plugin.w.env]\n\"A=B\" = \"s3cr3t\"",
            "2:1: \"A=B\" in [plugin.w.env]: the name of an environment variable cannot hold \"=\" or a NUL character",
        ),
        ("[plugin.w.env]\n\"\" = \"s3cr3t\"", "2:1: \"\" in [plugin.w.env]: the name of an environment variable cannot be empty"),
        // Types.
        ("listen = 8000", "1:10: \"listen\" at the top level: a port alone is not enough; write \"127.0.0.1:8000\""),
        ("listen = [1]", "1:10: \"listen\" at the top level: must be text in quotes, not an array"),
        ("http = \"x\"", "1:8: \"http\" at the top level: must be a table ([http]), not text"),
        ("plugin = 1", "1:10: \"plugin\" at the top level: must be a table ([plugin]), not a whole number"),
        ("[plugin]\nweather = true", "2:11: \"weather\" in [plugin]: must be a table ([plugin.weather]), not true or false"),
        ("[http]\nmax_connections = 1.5", "2:19: \"max_connections\" in [http]: must be a whole number, not a number with a fraction"),
        ("[http]\nallowed_hosts = \"x\"", "2:17: \"allowed_hosts\" in [http]: must be an array ([…]), not text"),
        ("[http]\nallowed_hosts = [\"x\", 1]", "2:23: \"allowed_hosts\" in [http]: must be text in quotes, not a whole number"),
        ("[host]\nsidecar_grants = \"no\"", "2:18: \"sidecar_grants\" in [host]: must be true or false, not text"),
        ("[plugin.w]\nmemory = true", "2:10: \"memory\" in [plugin.w]: must be a size (\"64MiB\" or a number of bytes), not true or false"),
        (
            "[plugin.w]\ntimeout = 1979-05-27",
            "2:11: \"timeout\" in [plugin.w]: must be a duration (\"30s\", \"1h30m\" or a number of seconds), not a date or time",
        ),
        // Sizes, durations, numbers.
        ("[plugin.w]\ntimeout = -30", "2:11: \"timeout\" in [plugin.w]: -30 is not a duration"),
        ("[plugin.w]\ntimeout = 100_000", "2:11: \"timeout\" in [plugin.w]: 100000s is not allowed; it must be 1ms to 1d"),
        (
            "[plugin.w]\ntimeout = \"1h30\"",
            "2:11: \"timeout\" in [plugin.w]: \"1h30\" is not a duration: 30 has no unit; use us, ms, s, m, h or d",
        ),
        ("[plugin.w]\ntimeout = \"0s\"", "2:11: \"timeout\" in [plugin.w]: 0s is not allowed; it must be 1ms to 1d"),
        ("[plugin.w]\ntimeout = \"30d\"", "2:11: \"timeout\" in [plugin.w]: 30d is not allowed; it must be 1ms to 1d"),
        ("[plugin.w]\nmemory = -1", "2:10: \"memory\" in [plugin.w]: -1 is not a size"),
        (
            "[plugin.w]\nmemory = 0",
            "2:10: \"memory\" in [plugin.w]: 0B is not allowed; it must be 64KiB to 1GiB, which is max_memory in [host]",
        ),
        (
            "[plugin.w]\nmemory = \"2GiB\"",
            "2:10: \"memory\" in [plugin.w]: 2GiB is not allowed; it must be 64KiB to 1GiB, which is max_memory in [host]",
        ),
        (
            "[plugin.w]\nmemory = \"64M\"",
            "2:10: \"memory\" in [plugin.w]: \"64M\" is not a size: there is no unit \"M\"; use B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024)",
        ),
        ("[plugin.w]\nconcurrency = 0", "2:15: \"concurrency\" in [plugin.w]: 0 is not allowed; it must be 1 to 20000"),
        ("[plugin.w]\nqueue = -1", "2:9: \"queue\" in [plugin.w]: -1 is not allowed; it must be 0 to 1000000"),
        ("[host]\ninstances = 0", "2:13: \"instances\" in [host]: 0 is not allowed; it must be 1 to 20000"),
        ("[host]\ninstances = 20001", "2:13: \"instances\" in [host]: 20001 is not allowed; it must be 1 to 20000"),
        ("[host]\nmax_memory = \"8GiB\"", "2:14: \"max_memory\" in [host]: 8GiB is not allowed; it must be 64KiB to 4GiB"),
        // Texts with a form.
        ("[telemetry]\nformat = \"xml\"", "2:10: \"format\" in [telemetry]: \"xml\" is not allowed; it must be \"text\" or \"json\""),
        (
            "[telemetry]\nlog = \"inof\"",
            "2:7: \"log\" in [telemetry]: \"inof\" is not a level; write a level (error, warn, info, debug, trace, off), or levels by module: \"toolbay=debug,warn\"",
        ),
        (
            "[telemetry]\nlog = \"toolbay=loud\"",
            "2:7: \"log\" in [telemetry]: \"toolbay=loud\" is not a filter (error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5); write a level (error, warn, info, debug, trace, off), or levels by module: \"toolbay=debug,warn\"",
        ),
        ("plugins = \"\"", "1:11: \"plugins\" at the top level: a path cannot be empty"),
        ("plugins = \"~/plugins\"", "1:11: \"plugins\" at the top level: \"~/plugins\": \"~\" is not expanded; write the whole path"),
        (
            "[plugin.w]\nhttp = [\"https://x.org/\"]",
            "2:9: \"http\" in [plugin.w]: \"https://x.org/\" is a URL; write only the host: \"x.org\"",
        ),
        ("[plugin.w]\nhttp_private = [\"*\"]", "2:17: \"http_private\" in [plugin.w]: \"*\" is not allowed here; name each host"),
        // Secrets.
        (
            "[plugin.w.env]\nKEY = { from_env = \"NOT_THERE\" }",
            "2:7: \"KEY\" in [plugin.w.env]: the environment variable \"NOT_THERE\" is not set; set it where toolbay is started, or use from_file",
        ),
        (
            "[plugin.w.env]\nKEY = { from_file = \"not-there\" }",
            "2:7: \"KEY\" in [plugin.w.env]: cannot take the secret from the file not-there: No such file or directory (os error 2)",
        ),
        (
            "[plugin.w]\nenv = { KEY = { from_env = \"GOOD\", from_file = \"x\" } }",
            "2:15: \"KEY\" in [plugin.w.env]: has both \"from_env\" and \"from_file\"; keep one",
        ),
        (
            "[plugin.w.env]\nKEY = { from_evn = \"GOOD\" }",
            "2:7: \"KEY\" in [plugin.w.env]: has no source; write {sources}\n2:9: unknown key \"from_evn\" in [plugin.w.env.KEY]; did you mean \"from_env\"?",
        ),
        ("[plugin.w.env]\nKEY = 8080", "2:7: \"KEY\" in [plugin.w.env]: must be text in quotes, or {sources}, not a whole number"),
        (
            "[auth.tokens]\nci = \"s3cr3t-in-the-file\"",
            "2:6: \"ci\" in [auth.tokens]: a secret cannot be written in the configuration; write {sources}",
        ),
        ("[auth.tokens]\nci = 5", "2:6: \"ci\" in [auth.tokens]: must be {sources}, not a whole number"),
        ("[auth]\ntokens = [\"s3cr3t\"]", "2:10: \"tokens\" in [auth]: must be a table ([auth.tokens]), not an array"),
        (
            "[role.reader]\n[auth.tokens]\na = { from_env = \"GOOD\", roles = [\"readr\"] }",
            "3:35: \"roles\" in [auth.tokens.a]: there is no [role.readr]; did you mean \"reader\"?",
        ),
        ("[auth]\ndefault_roles = [\"x\"]", "2:18: \"default_roles\" in [auth]: there is no [role.x]"),
        ("[role.r]\ntools = [\"\"]", "2:10: \"tools\" in [role.r]: a pattern cannot be empty; \"*\" is any"),
        (
            "[role.r]\nrate = \"10\"",
            "2:8: \"rate\" in [role.r]: \"10\" is not a rate; write calls and a time: \"10/s\", \"100/m\", \"1000/h\" or \"5000/d\"",
        ),
        (
            "[role.r]\nburst = 5",
            "2:1: \"burst\" in [role.r]: is how many calls of a `rate` may come at once; set rate = \"10/s\" beside it, or leave it out",
        ),
        (
            "[auth.tokens]\nci = { from_env = \"SHORT\" }",
            "2:6: \"ci\" in [auth.tokens]: the token is too short: 6 characters; it needs at least 16 (make one by: openssl rand -hex 32)",
        ),
        ("[auth.tokens]\nci = { from_env = \"EMPTY\" }", "2:6: \"ci\" in [auth.tokens]: the token is empty"),
        ("[auth.tokens]\nci = { from_env = \"SPACED\" }", "2:6: \"ci\" in [auth.tokens]: the token has white space in it; {allowed}"),
        (
            "[auth.tokens]\nci = { from_env = \"UMLAUT\" }",
            "2:6: \"ci\" in [auth.tokens]: the token has a character in it that is not allowed; {allowed}",
        ),
        (
            "[auth.tokens]\nci = { from_env = \"DOLLAR\" }",
            "2:6: \"ci\" in [auth.tokens]: the token has a character in it that is not allowed; {allowed}",
        ),
        (
            "[auth.tokens]\na = { from_env = \"GOOD\" }\nb = { from_env = \"GOOD\" }",
            "3:1: \"b\" in [auth.tokens]: has the same token as \"a\"; each name needs its own",
        ),
        (
            "[auth.tokens]\n\"a b\" = { from_env = \"GOOD\" }",
            "2:1: \"a b\" in [auth.tokens]: the name of a token must be 1 to 64 of a-z, A-Z, 0-9, \"-\", \"_\", \".\" and \"@\"",
        ),
        // Keys.
        (
            "[state]\nkeys = [{ from_env = \"GOOD\" }]",
            "2:9: \"keys\" in [state]: the key is too short: 26 bytes; it needs at least 32 (make one by: openssl rand -hex 32)",
        ),
        ("[state]\nkeys = [{ from_env = \"KEY\" }, { from_env = \"KEY\" }]", "2:31: \"keys\" in [state]: the same key is listed twice"),
        ("[state]\nkeys = [\"s3cr3t\"]", "2:9: \"keys\" in [state]: a secret cannot be written in the configuration; write {sources}"),
        ("[state]\nkeys = { from_env = \"KEY\" }", "2:8: \"keys\" in [state]: must be an array ([…]), not a table"),
        // Folders.
        (
            "[plugin.w]\ndirs = [\"/data\"]",
            "2:9: \"dirs\" in [plugin.w]: must be a table ({ host = \"data\", guest = \"/data\" }), not text",
        ),
        (
            "[plugin.w]\ndirs = [{ host = \"/\" }]",
            "2:9: \"dirs\" in [plugin.w]: has no \"guest\"; write { host = \"data\", guest = \"/data\" }",
        ),
        (
            "[plugin.w]\ndirs = [{ host = \"/not-there\", guest = \"/x\" }]",
            "2:18: \"host\" in [plugin.w.dirs]: cannot use the folder /not-there: No such file or directory (os error 2)",
        ),
        (
            "[plugin.w]\ndirs = [{ host = \"/dev/null\", guest = \"/x\" }]",
            "2:18: \"host\" in [plugin.w.dirs]: /dev/null is not a folder; only folders can be granted",
        ),
        (
            "[plugin.w]\ndirs = [{ host = \"/\", guest = \"data\" }]",
            "2:31: \"guest\" in [plugin.w.dirs]: \"data\" is not absolute; write the path as the plugin sees it: \"/data\"",
        ),
        (
            "[plugin.w]\ndirs = [{ host = \"/\", guest = \"/a/../b\" }]",
            "2:31: \"guest\" in [plugin.w.dirs]: \"/a/../b\" is not allowed; a path of the plugin has no \".\", \"..\", \"//\" or \"\\\" in it",
        ),
        (
            "[plugin.w]\ndirs = [{ host = \"/\", guest = \"/a\" }, { host = \"/\", guest = \"/a/\" }]",
            "2:39: \"dirs\" in [plugin.w]: two folders cannot both be \"/a\" for the plugin",
        ),
        // Models.
        ("[model.m]", "1:1: \"m\" in [model]: has no \"path\"; write the folder of its ONNX files: path = \"models/t5-small\""),
        (
            "[model.m]\npath = \"x\"\ndevice = \"gpu\"",
            "3:10: \"device\" in [model.m]: \"gpu\" is not allowed; it must be \"cpu\", or \"cuda:0\" with the number of the GPU",
        ),
        (
            "[model.m]\npath = \"x\"\ngpu_memory = 0.5",
            "3:1: \"gpu_memory\" in [model.m]: is for a model on a GPU; set device = \"cuda:0\" beside it, or leave it out",
        ),
        (
            "[model.m]\npath = \"x\"\ndevice = \"cuda:0\"\ngpu_memory = 1.5",
            "4:14: \"gpu_memory\" in [model.m]: a share must be over 0.0 and at most 1.0",
        ),
        (
            "[model.m]\npath = \"x\"\ndevice = \"cuda:0\"\ngpu_memory = \"0.5\"",
            "4:14: \"gpu_memory\" in [model.m]: \"0.5\" is not a size; a share is written without quotes: 0.5",
        ),
        (
            "[model.\"a/b\"]\npath = \"x\"",
            "1:8: \"a/b\" in [model]: the name of a model must be 1 to 64 of a-z, A-Z, 0-9, \"-\", \"_\" and \".\", starting with a letter or a digit",
        ),
        ("[model.m]\npath = \"x\"\nthreads = 0", "3:11: \"threads\" in [model.m]: 0 is not allowed; it must be 1 to 1024"),
        // Tools.
        ("[plugin.w.tools.t]\ntilte = \"x\"", "2:1: unknown key \"tilte\" in [plugin.w.tools.t]; did you mean \"title\"?"),
        (
            "[plugin.w.tools.t]\ntitle = \" \"",
            "2:9: \"title\" in [plugin.w.tools.t]: cannot be empty; leave the key out to keep what the tool itself says",
        ),
        ("[plugin.w.tools.t.params]\nstate = 1", "2:9: \"state\" in [plugin.w.tools.t.params]: must be text in quotes, not a whole number"),
        ("[plugin.w.tools.\"\"]", "1:17: \"\" in [plugin.w.tools]: tool name \"\" is not allowed: 1 to 4096 bytes"),
        (
            "[plugin.default]\ndefault_tool = \"x\"",
            "2:1: \"default_tool\" in [plugin.default]: a tool belongs to one plugin; write it in [plugin.NAME]",
        ),
        (
            "[plugin.w]\ndefault_tool = \"a \"",
            "2:16: \"default_tool\" in [plugin.w]: tool name \"a \" is not allowed: 1 to 256 bytes, no control characters, no white space at its ends",
        ),
        (
            "[plugin.default.tools.t]\ntitle = \"x\"",
            "1:17: \"tools\" in [plugin.default]: a tool belongs to one plugin; write it in [plugin.NAME.tools.TOOL]",
        ),
    ] {
        assert_eq!(wrong(text), message.replace("{sources}", sources).replace("{allowed}", allowed), "{text}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once_in_the_order_of_the_file() {
    let text = "listen = \"nowhere\"\r\nplugin.\"ä\" = 1\n\n[host]\ninstances = 0\n[http]\n  max_bdy = 1\n  drain = -5";
    let places = [
        "toolbay.toml:1:10: ",
        "toolbay.toml:2:8: ",
        "toolbay.toml:2:14: ",
        "toolbay.toml:5:13: ",
        "toolbay.toml:7:3: ",
        "toolbay.toml:8:11: ",
    ];
    let error = parse(text).unwrap_err();
    let shown = error.to_string();
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!((lines.len(), error.problems().len()), (places.len(), places.len()), "{shown}");
    for (line, place) in lines.iter().zip(places) {
        assert!(line.starts_with(place), "{line} at {place}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let missing = Config::load(&path).unwrap_err();
    assert_eq!(missing.to_string(), format!("cannot read the configuration {}: No such file or directory (os error 2)", path.display()));
    fs::write(&path, b"listen = \"\xff\"").unwrap();
    let binary = Config::load(&path).unwrap_err();
    assert_eq!(binary.to_string(), format!("cannot read the configuration {}: it is not UTF-8 text (byte 11 is wrong)", path.display()));
}

#[test]
fn an_endpoint_may_not_have_the_address_of_a_provider() {
    let whose = "whose own endpoint is /x/mcp too; give the endpoint another name";
    for (other, message) in [
        ("[server.x]\ncommand = [\"y\"]", format!("there is a server of this name ([server.x], or an entry of mcp_json), {whose}")),
        ("[plugin.x]\nmemory = \"8MiB\"", format!("there is a [plugin.x], {whose}")),
    ] {
        let told = wrong(&format!("[endpoint.x]\nsearch = true\n{other}"));
        assert!(told.contains(&format!("1:11: \"x\" in [endpoint]: {message}")), "{told}");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    fs::write(folder.path().join("plugins/x.wasm"), b"").unwrap();
    let text = "plugins = \"plugins\"\n[endpoint.x]\nsearch = true";
    let told = Config::parse(text, &folder.path().join(FILE)).unwrap_err().to_string();
    assert!(told.contains("2:11: \"x\" in [endpoint]: there is a plugin of this name") && told.contains("x.wasm"), "{told}");
}

#[test]
fn what_an_endpoint_names_has_to_be_there() {
    for (text, message) in [
        ("[endpoint.X]", "1:11: endpoint name \"X\" is not allowed"),
        ("[endpoint.x]\nrole = [\"y\"]", "2:1: unknown key \"role\" in [endpoint.x]; did you mean \"roles\"?"),
        (
            "[endpoint.x]\nroles = [\"redaer\"]\n[role.reader]",
            "\"roles\" in [endpoint.x]: there is no [role.redaer]; did you mean \"reader\"?",
        ),
        ("[endpoint.x]\ncallers = [\"ann\"]", "\"callers\" in [endpoint.x]: there is no token \"ann\" in [auth.tokens]"),
        ("[endpoint.x]\ntools = [\"\"]", "a pattern cannot be empty; \"*\" is any"),
        ("[endpoint.x]\ninstructions = \" \"", "instructions cannot be empty"),
    ] {
        let told = wrong(text);
        assert!(told.contains(message), "{text}: {told}");
    }
}
