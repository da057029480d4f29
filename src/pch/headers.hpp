// The heavy headers of others that most of the library includes, compiled once: half of its build time otherwise. Each
// file still includes what it uses.
#include <algorithm>
#include <chrono>
#include <deque>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>
