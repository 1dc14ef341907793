"""The perfect calls of a task, played on its world."""

from josh.envs.toolwoz.server import WozWorld
from josh.envs.toolwoz.tasks import perfect_calls


def earned(data, database):
    """What each call of the perfect ones comes to: nothing for a failure, else whether it earns its target."""
    world = WozWorld(database, data["targets"], data["failures"])
    targets = {target["api"]: target for target in data["targets"]}
    for api, arguments in perfect_calls(data):
        result, target = world.call(api, arguments), targets[api]
        if arguments != target["parameters"]:
            yield (
                "failed" if result == [] or (isinstance(result, dict) and "reason" in result) else "should have failed"
            )
        elif api.startswith("book_"):
            yield result["success"]
        else:
            [row] = result
            yield row in database.find(target["domain"], arguments) and (
                not target["booked"] or database.row_id(target["domain"], row) == target["id"]
            )
