// What main() has of the hostile tests.
#pragma once

#include <string>

namespace hostile {

// How each attempt ends, in Markdown.
std::string table();

// Whether the machine could not run all attempts under a profile.
bool skipped();

}  // namespace hostile
