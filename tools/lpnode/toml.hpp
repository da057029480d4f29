// toml++, as this program uses it.
#pragma once

#include <toml++/toml.h>
