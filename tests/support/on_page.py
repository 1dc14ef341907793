"""What a test reads off a report's page, and presses on it."""

import json


def data(page):
    return json.loads(page.text_content("#head"))


def chosen(page):
    """The index of the turn that the tree's keyboard stands on."""
    return int(page.get_attribute("svg.tree", "aria-activedescendant").removeprefix("node-"))


def fact(page, name):
    """What is said of the chosen turn under a name."""
    return page.locator(f".facts dt:text-is('{name}') + dd").text_content()


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)
    return chosen(page)
