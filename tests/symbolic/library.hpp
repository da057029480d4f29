// A library that is linked with -Bsymbolic: it has a copy of the header's function of its own, and sees its own
// function at another address than a program does that is not position-independent.
#pragma once

int half(int value);
int (*twice_of_the_library())(int);
