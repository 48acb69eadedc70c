"""Rules on docker-compose.yml, .env.example and docs/OPERATIONS.md that the Compose schema cannot know (run by
scripts/check-compose):

- a variable that is set or documented is one that the binary reads, and the other way round;
- every one of them reaches the server in its container;
- no secret is written down;
- every service has a health check, and the paths it asks for are served;
- files that are mounted exist."""
import pathlib
import re
import sys

import yaml

SOURCES = [pathlib.Path("crates/api/src")]
# The server's variables. RUST_LOG is read by tracing-subscriber, the rest belongs to other images.
OURS = re.compile(r"\b(?:SIMDEPOT_[A-Z0-9_]*[A-Z0-9]|DATABASE_URL)\b")
PER_ACCOUNT = re.compile(r"SIMDEPOT_CARRIER_[A-Z0-9_]+")
SECRET = re.compile(r"KEY|SECRET|PASSWORD|TOKEN")
INTERPOLATED = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+)")
# A value that is demanded from outside.
FROM_OUTSIDE = re.compile(r"\$\{[A-Z0-9_]+:\?[^}]+\}")


def source_text():
    files = [file for root in SOURCES for file in sorted(root.rglob("*.rs"))]
    return "\n".join(file.read_text() for file in files)


def documented_variables(text):
    return set(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", text, re.MULTILINE))


def is_known(name, source):
    return f'"{name}"' in source or (PER_ACCOUNT.fullmatch(name) and '"SIMDEPOT_CARRIER_' in source)


def variable_rules(compose, compose_text, env_text, operations_text, source):
    documented = documented_variables(env_text)
    set_here = {name for service in compose["services"].values() for name in service.get("environment", {})}
    for name in sorted(set_here | documented):
        if OURS.fullmatch(name) and not is_known(name, source):
            yield f"{name} is set or documented, but the binary does not read it"
    for name in sorted(documented - set(compose["services"]["api"]["environment"])):
        if OURS.fullmatch(name) or name == "RUST_LOG":
            yield f"{name} is documented, but docker-compose.yml does not pass it to the server"
    for name in sorted(set(INTERPOLATED.findall(compose_text)) - documented):
        yield f"{name} is asked for by docker-compose.yml, but not in .env.example"
    read = {name for name in re.findall(r'"([A-Z0-9_]+)"', source) if OURS.fullmatch(name)}
    for name in sorted(read):
        if name not in documented:
            yield f"{name} is read by the binary, but not in .env.example"
        if name not in operations_text:
            yield f"{name} is read by the binary, but not in docs/OPERATIONS.md"


def secret_rules(compose, env_text):
    for service, body in compose["services"].items():
        for name, value in body.get("environment", {}).items():
            if value is None:  # passed on from outside
                continue
            value = str(value)
            if SECRET.search(name) and not name.endswith("_FILE") and not FROM_OUTSIDE.fullmatch(value):
                yield f"{service}: {name} must come from outside: ${{{name}:?message}}"
            if re.search(r"://[^:/@]+:(?!\$\{)[^@]*@", value):
                yield f"{service}: {name} holds a password"
    for name, value in re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=(.+)$", env_text, re.MULTILINE):
        if SECRET.search(name):
            yield f".env.example: {name} must be empty"


def health_rules(compose, source):
    served = source + "".join(file.read_text() for file in pathlib.Path("crates/carrier-twin/src").rglob("*.rs"))
    for service, body in compose["services"].items():
        test = body.get("healthcheck", {}).get("test", [])
        if not test:
            yield f"{service}: has no health check"
        if "simdepot" in test:
            # The sub-command asks /readyz.
            command = " ".join(test)
            for what in ("healthcheck", "/readyz"):
                if what not in source.lower():
                    yield f"{service}: `{command}` needs {what}, which crates/api does not have"
        for path in re.findall(r"GET (/\S+)", " ".join(test)):
            if not all(f'"{part}"' in served or f"/{part}" in served for part in path.strip("/").split("/")):
                yield f"{service}: its health check asks {path}, which is not served"


def mount_rules(compose):
    for service, body in compose["services"].items():
        for volume in body.get("volumes", []):
            if isinstance(volume, str) and volume.startswith("./"):
                path = volume.split(":")[0]
                if not pathlib.Path(path).exists():
                    yield f"{service}: mounts {path}, which does not exist"


def main():
    compose_text = pathlib.Path("docker-compose.yml").read_text()
    env_text = pathlib.Path(".env.example").read_text()
    operations_text = pathlib.Path("docs/OPERATIONS.md").read_text()
    compose, source = yaml.safe_load(compose_text), source_text()
    found = [
        *variable_rules(compose, compose_text, env_text, operations_text, source),
        *secret_rules(compose, env_text),
        *health_rules(compose, source),
        *mount_rules(compose),
    ]
    for line in found:
        print(line, file=sys.stderr)
    if found:
        sys.exit(1)
    print(f"compose: {len(compose['services'])} services, {len(documented_variables(env_text))} variables checked")


if __name__ == "__main__":
    main()
