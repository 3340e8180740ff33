"""API tokens in the admin: their owners, and how to revoke them. The text of a token cannot be read again."""

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from aiworkstation.access import api_tokens
from aiworkstation.access.models import ApiToken
from aiworkstation.access.sign_in import name_key, unlock


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "owner", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "last_used_from")
    list_select_related = ("owner",)
    search_fields = ("name", "prefix", "owner__username")
    fields = list_display

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def delete_model(self, request: HttpRequest, obj: ApiToken) -> None:
        assert isinstance(request.user, User)
        api_tokens.revoke(request.user, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        for token in queryset.select_related("owner"):
            self.delete_model(request, token)


class UnlockingUserAdmin(UserAdmin):  # type: ignore[type-arg]
    """Django's user admin, with an action for users who have used up their attempts to sign in."""

    actions = ("unlock",)

    @admin.action(description="Let the selected users try to sign in again", permissions=["change"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        done = sum(unlock(request.user, name_key(user.get_username())) for user in queryset)
        self.message_user(request, f"{done} users unlocked.", messages.SUCCESS)


admin.site.unregister(User)
admin.site.register(User, UnlockingUserAdmin)
