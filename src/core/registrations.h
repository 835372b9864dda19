// All bindings of inside parties, by what REGISTERs and their 2xx say (RFC 3261 10.2, 10.3).
//
// A phone that connects anew over TCP registers anew, and its registrar has one binding where two
// connections had one each: a 2xx on one of them counts for the others, too.
//
// A REGISTER changes nothing by itself: it is remembered, and its 2xx between the same hosts is taken as
// what the registrar now has of this address of record. So 401, 407, 423 and all other failures leave what
// is there, and so does whoever answers what was not asked.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory_resource>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/bounded_table.h"
#include "core/known_endpoints.h"
#include "core/text_key.h"
#include "sipnat/core/binding.h"
#include "sipnat/core/nat_view.h"
#include "sipnat/core/settings.h"
#include "sipnat/sip/message.h"

namespace sipnat {

/// So often the entry of a flow with bindings is kept up, which is less than it lasts without packets.
inline constexpr std::chrono::minutes kKeepUp{20};

class Registrations {
    /// A name is found by views of its texts.
    struct Order {
        using is_transparent = void;
        using View = std::tuple<const Tuple&, std::string_view, std::string_view>;
        static View view(const BindingName& name) { return {name.flow, name.aor, name.contact}; }
        static const View& view(const View& name) { return name; }

        template <class A, class B>
        bool operator()(const A& a, const B& b) const {
            return view(a) < view(b);
        }
    };

    struct Kept : Binding {
        Time wake{};  ///< of its one entry in wakes_: not after `until`
    };

  public:
    using Bindings = std::map<BindingName, Kept, Order>;

    /// A REGISTER or an answer to one on this flow; all else is passed over. Bindings over the limits
    /// of `settings` are left out, of a host or of all. `scratch` is used until this is done.
    void note(const FlowTuples& flow, const sip::Message& message, const NatView& view,
              KnownEndpoints& known, const Settings& settings, Time now,
              std::pmr::memory_resource* scratch);

    /// Ends the bindings whose time is up. Appends the UDP flows whose entries have to be kept up: a
    /// TCP connection's lasts for days, and longer than the connection none is of use.
    void collect_due(Time now, std::vector<Tuple>& keep_up);
    /// Not later than what is due next.
    [[nodiscard]] std::optional<Time> next_due() const;

    [[nodiscard]] const Bindings& all() const { return bindings_; }
    /// How many were left out so far.
    [[nodiscard]] std::uint64_t refused() const { return refused_; }
    /// Any binding has this flow.
    [[nodiscard]] bool hang_on(const FlowTuples& flow) const;

    [[nodiscard]] bool has_changes() const { return !changed_.empty(); }
    /// What changed since this was asked last.
    void take_changes(std::vector<Binding>& bindings, std::vector<BindingName>& ended);
    /// One of an earlier process; its flow has to be kept up at once. Over the limits it is left out.
    void restore(const Binding& binding, const Settings& settings);

  private:
    struct Asked {
        using allocator_type = std::pmr::polymorphic_allocator<>;

        Asked(std::string_view text, std::optional<std::chrono::seconds> time,
              const allocator_type& memory)
            : contact(text, memory), expires(time) {}
        Asked(const Asked& other, const allocator_type& memory)
            : Asked(other.contact, other.expires, memory) {}

        std::pmr::string contact;
        std::optional<std::chrono::seconds> expires;
    };
    struct Request {
        using allocator_type = std::pmr::polymorphic_allocator<>;

        explicit Request(const allocator_type& memory) : aor(memory), contacts(memory) {}

        FlowTuples flow;
        Party inside;
        Party registrar;
        std::pmr::string aor;
        std::pmr::vector<Asked> contacts;
        bool removes_all = false;  ///< Contact: *
    };
    /// The answer may come on another flow: to the port that the Via names (RFC 3261 18.2.2).
    struct RequestName {
        IpAddress inside;
        IpAddress registrar;
        std::uint32_t cseq = 0;
        bool operator==(const RequestName&) const = default;
    };
    struct RequestHash {
        std::size_t operator()(const RequestName& name) const noexcept {
            return hash_mix(hash_mix(std::hash<IpAddress>{}(name.inside),
                                     std::hash<IpAddress>{}(name.registrar)),
                            name.cseq);
        }
    };
    using RequestKey = TextKey<RequestName, RequestHash>;  // with the Call-ID

    void accept(const Request& request, const sip::Message& answer, KnownEndpoints& known,
                const Settings& settings, Time now, std::pmr::memory_resource* scratch);
    void put(const Order::View& name, const Request& request, Time until, const Settings& settings,
             Time now);
    void prolong(Kept& binding, Time until, Time now);
    void wake_at(Kept& binding, Time time);
    bool add(const Binding& binding, Time keep_up, const Settings& settings);
    void erase(Bindings::iterator at);
    /// On other connections of the host that asked.
    template <class IsOver>
    void erase_on_others(const Request& request, IsOver is_over);
    /// The first binding of an address of record, if it has any; else whatever.
    [[nodiscard]] Bindings::iterator first_of(const Tuple& flow, std::string_view aor);
    [[nodiscard]] Bindings::iterator find(const Order::View& name);

    static constexpr std::size_t kMostRequests = 4096;  // whose answers are awaited

    /// Most flows have one binding, which is found here at once: the path through a tree of many is long.
    struct Flow {
        Bindings::iterator first;
        std::size_t count = 0;
        Time keep_up{};  ///< of its one entry in to_keep_up_, unless it is a connection
        IpAddress host;  ///< of its first binding
    };

    Bindings bindings_;
    std::unordered_map<Tuple, Flow> flows_;  // that have bindings
    // Each stays where it is in bindings_. An end that moved back is noticed when the old one comes.
    std::set<std::pair<Time, const Kept*>> wakes_;
    struct Host {
        std::size_t count = 0;
        std::vector<Tuple> connections;  ///< TCP flows that have bindings
    };
    std::unordered_map<IpAddress, Host> per_host_;
    std::vector<BindingName> changed_;
    std::uint64_t refused_ = 0;
    std::set<std::pair<Time, Tuple>> to_keep_up_;
    BoundedTable<RequestKey, Request, RequestKey::Hash, RequestKey::Stored> requests_{
        kMostRequests};
};

}  // namespace sipnat
