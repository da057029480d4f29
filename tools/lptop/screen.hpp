// lptop on a terminal.
#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lptop {

// Reads what there is now; throws std::runtime_error.
using Read = std::function<std::vector<nlohmann::json>()>;

// Shows it until a key or a signal ends it, or the program that it shows does. Returns why it ended, empty where the
// user wanted that. Throws std::runtime_error where there is no terminal that it can use.
std::string run_screen(const Read& read, std::chrono::milliseconds interval);

}  // namespace lptop
