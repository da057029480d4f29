// Where programs show what they do, and what they say there.
#pragma once

#include <leasepool/duration.hpp>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lptop {

// A loop that shows what it does, and how to reach it.
struct Source {
  std::string path;
};

// The sockets that lptop finds by itself: of this program, or of all programs of this user for 0; the program's first
// loop first. Those that nobody listens on are among them.
std::vector<Source> find_sources(int pid);

// What the loops there say now, in order, without those that nobody serves any more. Waits no longer than `patience`
// for all of them. Throws std::runtime_error naming the socket where an answer is none.
std::vector<nlohmann::json> ask(const std::vector<Source>& sources, leasepool::Duration patience);

}  // namespace lptop
