// What the daemon's interfaces have in common: they are destroyed through themselves, and copied or
// moved as part of what implements them only.
#pragma once

namespace sipnat::daemon {

class Interface {
  public:
    virtual ~Interface() = default;

  protected:
    Interface() = default;
    Interface(const Interface&) = default;
    Interface(Interface&&) = default;
    Interface& operator=(const Interface&) = default;
    Interface& operator=(Interface&&) = default;
};

}  // namespace sipnat::daemon
