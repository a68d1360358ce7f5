import { expect, test } from "vitest";

import { OpenFolders } from "../../../../connectors/destinations/layout/open-folders.ts";

function open(): OpenFolders<string> {
  const folders = new OpenFolders<string>();
  folders.put("a/", "first", 10);
  folders.put("b/", "second", 30);
  folders.put("c/", "third", 20);
  return folders;
}

test("the oldest is the one written least recently, never the one that is spared", () => {
  const folders = open();
  expect(folders.findOldest("third")).toBe("a/");
  expect(folders.findOldest("first")).toBe("b/");
  folders.put("a/", "first", 10);
  expect(folders.findOldest("third")).toBe("b/");
});

test("the largest is the one that holds the most, never the one that is spared", () => {
  const folders = open();
  expect(folders.findLargest("third")).toBe("b/");
  expect(folders.findLargest("second")).toBe("c/");
  folders.put("a/", "first", 40);
  expect(folders.findLargest("third")).toBe("a/");
});

test("where only the spared one is open, none is found", () => {
  const folders = new OpenFolders<string>();
  folders.put("a/", "first", 10);
  expect(folders.findOldest("first")).toBeNull();
  expect(folders.findLargest("first")).toBeNull();
});

test("what is held is the sum of what was last told", () => {
  const folders = open();
  expect(folders.heldBytes).toBe(60);
  folders.put("b/", "another", 5);
  expect([folders.heldBytes, folders.size]).toEqual([35, 3]);
  expect(folders.find("b/")).toBe("another");
  folders.remove("c/");
  folders.remove("c/");
  expect([folders.heldBytes, folders.size]).toEqual([15, 2]);
  folders.clear();
  expect([folders.heldBytes, folders.size]).toEqual([0, 0]);
});
