// A plug-in; PLUGIN_VERSION tells two builds of it apart.
#include "leasepool/function.hpp"

namespace plugin {
int work(int value) { return 10 * value + PLUGIN_VERSION; }
}  // namespace plugin

LEASEPOOL_REGISTER(plugin::work);

using Function = int (*)(int);
extern "C" Function plugin_function() { return plugin::work; }
