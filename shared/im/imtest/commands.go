package imtest

// commands are the calls of the REST API, by service and command.
var commands = map[string]command{
	"im_open_login_svc/account_import":      decoded(accountMisfits, accountImport),
	"im_open_login_svc/multiaccount_import": limited(100, decoded(accountMisfits, multiaccountImport)),
	"im_open_login_svc/account_check":       limited(100, decoded(accountMisfits, accountCheck)),
	"im_open_login_svc/account_delete":      limited(100, decoded(accountMisfits, accountDelete)),
	"im_open_login_svc/kick":                decoded(accountMisfits, kick),

	"openim/query_online_status":    decoded(openimMisfits, queryOnlineStatus("Status")),
	"openim/querystate":             decoded(openimMisfits, queryOnlineStatus("State")),
	"openim/sendmsg":                decodedBy(openimMisfits, sendmsg),
	"openim/batchsendmsg":           decodedBy(openimMisfits, batchsendmsg),
	"openim/admin_getroammsg":       decoded(openimMisfits, getRoamMsg),
	"openim/admin_msgwithdraw":      decoded(openimMisfits, msgWithdraw),
	"openim/modify_c2c_msg":         decoded(openimMisfits, modifyC2CMsg),
	"openim/admin_set_msg_read":     decoded(openimMisfits, setMsgRead),
	"openim/get_c2c_unread_msg_num": decoded(openimMisfits, unreadNum),
	"openconfigsvr/setnospeaking":   decoded(misfits{"": 130001}, setNospeaking),

	"profile/portrait_set":  decodedBy(profileMisfits, portraitSet),
	"profile/portrait_get":  decoded(profileMisfits, portraitGet),
	"sns/friend_add":        decodedBy(friendMisfits, friendAdd),
	"sns/friend_delete":     decoded(friendMisfits, friendDelete),
	"sns/friend_check":      decoded(friendMisfits, friendCheck),
	"sns/black_list_add":    decoded(friendMisfits, blackListAdd),
	"sns/black_list_delete": decoded(friendMisfits, blackListDelete),
}
