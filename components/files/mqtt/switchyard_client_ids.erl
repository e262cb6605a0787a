%% An authorization backend beside the internal one: it takes nothing but a client id that is somebody else's.
%%
%% The broker cuts a client off when another one connects under its id, whatever the other's rights are. So a device may connect
%% under its user name alone: it can cut off itself, and nobody else. Users of the stack's own carry the tag `stack` and are let
%% in under any id. Who may log in at all, and what they may do, is the internal backend's business, which is asked first.
-module(switchyard_client_ids).
-behaviour(rabbit_authz_backend).

-export([user_login_authorization/2, check_vhost_access/3, check_resource_access/4, check_topic_access/4]).
-export([state_can_expire/0, expiry_timestamp/1]).

user_login_authorization(_Username, _AuthProps) ->
    {ok, none}.

%% Of an #auth_user{} the first fields: RabbitMQ's packages come without their headers. AMQP and HTTP have no client id.
check_vhost_access(User, _VHost, #{<<"client_id">> := ClientId}) ->
    Username = element(2, User),
    Own = ClientId =:= Username orelse lists:member(stack, element(3, User)),
    Own orelse logger:warning("user ~0p is refused: it connects under the client id ~0p, and may only under its user name",
                              [Username, ClientId]),
    Own;
check_vhost_access(_User, _VHost, _Context) ->
    true.

check_resource_access(_User, _Resource, _Permission, _Context) ->
    true.

check_topic_access(_User, _Resource, _Permission, _Context) ->
    true.

state_can_expire() ->
    false.

expiry_timestamp(_User) ->
    never.
