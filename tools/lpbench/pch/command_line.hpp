// What every file that reads the command line includes and takes long over, compiled once.
#include <leasepool/leasepool.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
